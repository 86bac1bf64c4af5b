"""The binary `carpsidecar`."""

import sys

from carpsidecar.cli import main

if __name__ == "__main__":
    sys.exit(main())
