"""A file with a passphrase."""

from tests.support.command import passphrase_file

__all__ = ["passphrase_file"]
