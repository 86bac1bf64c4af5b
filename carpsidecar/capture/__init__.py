"""CARP and VRRP as they were on the wire: out of frames and files, decoded, checked, shown. Opens no socket."""
