"""What is wrong on this machine and on the wire, and how to mend it: one module a family of checks.

A check looks at a `Subject`, one group in its place, or at the whole `Scene`, and yields findings. It sends nothing
but probes that change nothing: no advertisement, no claim of an address.
"""
