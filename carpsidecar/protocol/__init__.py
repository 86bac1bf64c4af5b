"""Pure CARP: packet, authentication, election. No socket, no clock, no thread, no logging.

Time, addresses and packets come in as arguments, and effects go out as return values, so that the same code
runs under the engine, in a unit test's table and in the simulator's virtual time.
"""
