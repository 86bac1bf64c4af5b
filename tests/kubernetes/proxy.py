"""A proxy before the API server that refuses, delays, hangs, cuts and vanishes as a test wants."""

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_LEFT_OUT = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass
class Fault:
    """Strikes requests whose method and path it names, `times` times; then it is over.

    Without a status the request hangs: `hang_s`, after it was passed on where `passed_on`, so that the server
    executes what nobody hears the answer of. With `late_s` it is passed on only then, and nobody hears it either.
    """

    method: str = ""
    path: str = ""
    times: int = 1_000_000
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    late_s: float = 0.0
    slow_s: float = 0.0
    """It is answered as usual, after this."""
    passed_on: bool = False
    watches: bool | None = None
    """Only watches, only others, or both."""
    struck: int = 0

    def strikes(self, method: str, path: str) -> bool:
        is_watch = "watch=1" in path
        fits = self.method in ("", method) and self.path in path and self.watches in (None, is_watch)
        if not fits or self.struck >= self.times:
            return False
        self.struck += 1
        return True


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    body: str
    token: str


class Proxy:
    """Listens with TLS from the start; `seen` are all requests, in order."""

    def __init__(self, target_port: int, files: tuple[Path, Path], authority: Path) -> None:
        self._target_port = target_port
        self._files = files
        self.context = ssl.create_default_context(cafile=str(authority))
        self._lock = threading.Condition()
        self.seen: list[Seen] = []
        self._faults: list[Fault] = []
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.come_back()

    def come_back(self) -> None:
        assert self._server is None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self._files))
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler, bind_and_activate=True)
        server.daemon_threads = True
        server.block_on_close = False
        server.proxy = self  # type: ignore[attr-defined]
        server.tls = context  # type: ignore[attr-defined]
        self.port = int(server.server_address[1])
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def go_away(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """End every connection, in the middle of whatever it says."""
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing.set()
        self.go_away()

    def strike(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def relent(self) -> None:
        with self._lock:
            self._faults.clear()

    def wait(self, holds: Callable[[list[Seen]], bool], timeout_s: float = 10.0) -> None:
        with self._lock:
            if not self._lock.wait_for(lambda: holds(self.seen), timeout_s):
                raise AssertionError(f"not seen within {timeout_s} s; what was seen: {self.seen[-20:]}")

    def count(self, method: str, path: str = "") -> int:
        with self._lock:
            return sum(seen.method == method and path in seen.path for seen in self.seen)

    def fault_for(self, seen: Seen) -> Fault | None:
        with self._lock:
            self.seen.append(seen)
            self._lock.notify_all()
            return next((fault for fault in self._faults if fault.strikes(seen.method, seen.path)), None)

    def opened(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.add(sock)

    def closed(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)

    def pause(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def ask_target(self) -> HTTPConnection:
        return HTTPSConnection("127.0.0.1", self._target_port, context=self.context, timeout=300)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self) -> None:
        self.proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        self.request.settimeout(10)
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)  # type: ignore[attr-defined]
        self.proxy.opened(self.request)
        super().setup()

    def finish(self) -> None:
        self.proxy.closed(self.request)
        with suppress(OSError, ValueError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError, HTTPException, ValueError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").rpartition(" ")[2]
        fault = self.proxy.fault_for(Seen(self.command, self.path, body.decode(), token))
        if fault is not None and fault.slow_s:
            self.proxy.pause(fault.slow_s)
            fault = None
        if fault is None:
            self._pass_on(body)
        elif fault.status:
            self._refuse(fault)
        else:
            self.close_connection = True
            if fault.late_s:
                self.proxy.pause(fault.late_s)
            if fault.passed_on or fault.late_s:
                with closing(self.proxy.ask_target()) as target:
                    target.request(self.command, self.path, body or None, self._headers())
                    target.getresponse().read()
            self.proxy.pause(fault.hang_s)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in _LEFT_OUT}

    def _refuse(self, fault: Fault) -> None:
        message = {"kind": "Status", "status": "Failure", "code": fault.status, "message": "made up by the test"}
        data = json.dumps(message).encode()
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _pass_on(self, body: bytes) -> None:
        target = self.proxy.ask_target()
        try:
            target.request(self.command, self.path, body or None, self._headers())
            response = target.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _LEFT_OUT:
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while chunk := response.read1(1 << 16):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, HTTPException):
            self.close_connection = True
        finally:
            target.close()
