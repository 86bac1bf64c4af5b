"""What is wrong on this machine and on the wire, and how to mend it: one module a family of checks.

A check examines a `Subject`, one group on its interface, or the whole `Machine`, and yields findings. It sends
nothing but probes that change nothing: no advertisement, no claim of an address.
"""
