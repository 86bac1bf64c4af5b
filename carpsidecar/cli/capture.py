"""`carpsidecar capture`: CARP and VRRP on the wire, or in a file, a line a packet."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import FileIO, RawIOBase
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carpsidecar.cli.errors import FAILED, complain
from carpsidecar.cli.parser import Parser
from carpsidecar.config.schema import ConfigError, Given
from carpsidecar.config.sources import load
from carpsidecar.linux.capabilities import forbid_core_dumps

if TYPE_CHECKING:
    from carpsidecar.capture.live import LiveSource
    from carpsidecar.capture.pcap import PcapReader, PcapWriter
    from carpsidecar.capture.tally import Tally
    from carpsidecar.capture.verify import GroupsVerifier, Verifier

_PROGRAM = "carpsidecar capture"
_DESCRIPTION = """\
Show CARP and VRRP as it is on the wire, before any firewall: a line a packet, with what is wrong with it, until
Ctrl-C. It sends nothing. Where an engine runs on this machine, digests are verified with its configuration.
"""
_EPILOG = """\
exit status:
  0    done, or ended by Ctrl-C or TERM
  1    no right to listen (CAP_NET_RAW), no such interface or file, or a file that is damaged
  2    the command line can't be used

examples:
  carpsidecar capture -i eth0
  carpsidecar capture -i eth0 --passphrase-file /etc/carp.pass --vip 192.0.2.100
  carpsidecar capture -i eth0 -w report.pcap --count 20
  carpsidecar capture -r report.pcap --json
"""


class CaptureError(Exception):
    """Why nothing can be captured: one line that says what was found, and what to do."""


def parser() -> Parser:
    options = Parser(prog=_PROGRAM, description=_DESCRIPTION, epilog=_EPILOG)
    options.add_argument(
        "-i", "--interface", metavar="NAME", help="interface to listen on (default: all, in Linux's cooked form)"
    )
    options.add_argument(
        "-r", "--read", metavar="FILE", help="read this pcap file instead; - is the standard input"
    )
    options.add_argument(
        "-w", "--write", metavar="FILE", help="write the packets to this pcap file, too; - is stdout"
    )
    options.add_argument("--count", metavar="N", type=_positive, help="end after so many packets")
    options.add_argument(
        "--passphrase-file", metavar="FILE", help="file whose first line is the passphrase, to verify digests"
    )
    options.add_argument(
        "--vip",
        metavar="ADDRESS",
        action="append",
        help="virtual address that the digests cover; give all of the group",
    )
    options.add_argument("--json", action="store_true", help="print a JSON object a line")
    return options


def main(argv: Sequence[str]) -> int:
    arguments = parser()
    given = arguments.read(argv)
    if given["interface"] is not None and given["read"] is not None:
        arguments.error("--interface and --read: give one of the two")
    if given["read"] not in (None, "-") and given["read"] == given["write"]:
        arguments.error("--read and --write: the same file: give another one to write")
    if bool(given["passphrase_file"]) != bool(given["vip"]):
        arguments.error("--passphrase-file and --vip: a digest covers both, so give both")
    forbid_core_dumps()
    verifier: Verifier | GroupsVerifier | None
    if given["passphrase_file"] is None and given["read"] is None:
        verifier = _use_running(given)
    else:
        verifier = _verifier(given)
    with ExitStack() as stack:
        try:
            return _capture(given, verifier, stack)
        except CaptureError as error:
            sys.stdout.flush()
            complain(str(error), _PROGRAM)
            return FAILED


def _positive(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or not 0 < int(text[:12]) < 10**11:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of packets: give 1 or more")
    return int(text)


def _verifier(given: dict[str, Any]) -> "Verifier | None":
    """Raises: ConfigError where the passphrase can't be read, or an address is none."""
    if given["passphrase_file"] is None:
        return None
    from carpsidecar.capture.verify import Verifier
    from carpsidecar.config.passphrase import read_passphrase

    addresses = []
    for text in given["vip"]:
        try:
            addresses.append(ip_interface(text).ip)
        except ValueError:
            raise ConfigError(f"--vip: {text!r} is no IP address: give one such as 192.0.2.100") from None
    # Of any length: which mode the speakers use is seen only in their packets.
    passphrase = read_passphrase(
        {"passphrase_file": Given(given["passphrase_file"], "--passphrase-file")}, "hardened"
    )
    for warning in passphrase.warnings:
        complain(f"warning: {warning}", _PROGRAM)
    return Verifier(passphrase.secrets, addresses)


def _use_running(given: dict[str, Any]) -> "GroupsVerifier | None":
    """Verify with what the engine here has, and listen where it does; None where none reports what it has."""
    from carpsidecar.capture.verify import GroupsVerifier, Verifier
    from carpsidecar.cli.running import running_document

    try:
        config = load({}, {}, None, running_document())
    except ConfigError:
        return None
    for warning in config.warnings:
        if warning.startswith("passphrase"):
            complain(f"warning: {warning}", _PROGRAM)
    interfaces = {group.interface for group in config.groups}
    if given["interface"] is None and len(interfaces) == 1:
        [given["interface"]] = interfaces
    return GroupsVerifier(
        {
            group.vhid: Verifier(group.passphrase.secrets, [address.ip for address in group.addresses])
            for group in config.groups
            if group.passphrase.secret
        }
    )


def _capture(given: dict[str, Any], verifier: "Verifier | GroupsVerifier | None", stack: ExitStack) -> int:
    """Raises: CaptureError."""
    from carpsidecar.capture.tally import Tally
    from carpsidecar.linux.capabilities import keep_only

    source = _source(given, stack)
    output = _output(given["write"], stack)
    # Before the first packet is looked at: whoever sent it may not mean well.
    keep_only((), bounding=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally = Tally()
    try:
        _follow(source, _writer(output, source, given), verifier, tally, given)
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.flush()
        for line in tally.lines(source.lost()):
            print(line, file=sys.stderr)
    return 0


def _follow(
    source: "LiveSource | PcapReader",
    writer: "PcapWriter | None",
    verifier: "Verifier | GroupsVerifier | None",
    tally: "Tally",
    given: dict[str, Any],
) -> None:
    """Show packet after packet. Raises: CaptureError."""
    from carpsidecar.capture.decode import decode
    from carpsidecar.capture.formatting import line_of, record_of
    from carpsidecar.capture.pcap import PcapError
    from carpsidecar.capture.verify import digest_status

    frames = source.frames()
    while tally.packets != given["count"]:
        try:
            frame = next(frames, None)
        except PcapError as error:
            raise CaptureError(str(error)) from None
        except OSError as error:
            raise CaptureError(f"can't listen any more: {error.strerror}") from None
        if frame is None:
            return
        packet = decode(frame)
        if packet is None:
            continue
        digest = digest_status(packet, verifier)
        tally.add(packet, digest)
        if writer is not None:
            with _written(given):
                writer.write(frame)
        if given["write"] != "-":
            line = json.dumps(record_of(packet, digest)) if given["json"] else line_of(packet, digest)
            print(line, flush=given["read"] is None)


def _source(given: dict[str, Any], stack: ExitStack) -> "LiveSource | PcapReader":
    """Raises: CaptureError."""
    name = given["read"]
    if name is None:
        from carpsidecar.capture.live import LiveSource

        try:
            source = LiveSource(given["interface"])
        except OSError as error:
            raise CaptureError(error.strerror or str(error)) from None
        stack.callback(source.close)
        print(f"{_PROGRAM}: listening on {given['interface'] or 'all interfaces'}: Ctrl-C ends it", file=sys.stderr)
        return source
    from carpsidecar.capture.pcap import PcapError, PcapReader

    try:
        if name == "-":
            return PcapReader(sys.stdin.buffer, "the standard input")
        return PcapReader(stack.enter_context(Path(name).open("rb")), name)
    except PcapError as error:
        raise CaptureError(str(error)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no path"
        raise CaptureError(f"--read: {name!r} can't be read ({why}): give a pcap file") from None


def _output(name: str | None, stack: ExitStack) -> RawIOBase | None:
    """Opened while there still is the right to. Raises: CaptureError."""
    if name is None:
        return None
    if name == "-" and sys.stdout.isatty():
        raise CaptureError("--write: - is this terminal: send it to a file or another program")
    try:
        return stack.enter_context(FileIO(1 if name == "-" else name, "wb", closefd=name != "-"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no path"
        raise CaptureError(f"--write: {name!r} can't be written ({why}): give another file") from None


def _writer(
    output: RawIOBase | None, source: "LiveSource | PcapReader", given: dict[str, Any]
) -> "PcapWriter | None":
    from carpsidecar.capture.pcap import PcapWriter

    if output is None:
        return None
    with _written(given):
        return PcapWriter(output, source.link_type)


@contextmanager
def _written(given: dict[str, Any]) -> Iterator[None]:
    """Raises: CaptureError where what is done inside can't be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CaptureError(f"--write: {given['write']!r} can't be written ({error.strerror})") from None
