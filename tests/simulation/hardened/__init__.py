"""The hardened mode against one who records everything and plays it to anyone at any time, under virtual time."""
