"""The binary `ucarp`, whatever name its file is given."""

import sys

from carpsidecar.cli import main

if __name__ == "__main__":
    sys.exit(main(["ucarp", *sys.argv[1:]]))
