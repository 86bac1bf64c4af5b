"""The manual: it builds, its links lead somewhere, and every command in it is run."""
