"""Measurements of the whole thing on this machine: `make bench`. Nothing here asserts; the tests do."""
