"""`carpsidecar run` with a reporter at the other end of a descriptor: `python -m … DESCRIPTOR [OPTION...]`.

At its end it prints the names of all modules that it has imported.
"""

import socket
import sys

from carpsidecar import logs
from carpsidecar.cli.flags import source_of
from carpsidecar.cli.run import parser
from carpsidecar.config.sources import load
from carpsidecar.engine.run import run


def main() -> int:
    reporter = socket.socket(fileno=int(sys.argv[1]))
    source = source_of(parser().read(sys.argv[2:]))
    config = load(*source)
    writer = logs.start(config.log_format, config.log_level)
    try:
        return run(config, reload=lambda: load(*source), reporter=reporter)
    finally:
        writer.close()
        print("imported:", *sorted(sys.modules), flush=True)


if __name__ == "__main__":
    sys.exit(main())
