"""The manual, read and run: its pages, their tables, and their command blocks on a machine of the lab."""
