"""Helm for an API server that can't serve its schema (OpenAPI v2): some are built so, and Helm 3 gives up there.

A proxy beside the server gives Helm an empty schema, with which it validates nothing, and passes on all else.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, KUBECTL_PORT = 8078, 8079
SERVER = f"http://127.0.0.1:{PORT}"
_SCHEMA = "application/octet-stream"


@contextmanager
def proxy(inside: Sequence[str], kubectl: Sequence[str]) -> Iterator[None]:
    """Running, where `inside` starts commands; `kubectl` with its kubeconfig reaches the server from there."""
    commands = [[*kubectl, "proxy", f"--port={KUBECTL_PORT}"], [sys.executable, "-m", __name__]]
    running = [subprocess.Popen([*inside, *command], stdout=subprocess.PIPE) for command in commands]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline()
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/openapi/v2"):
            self._answer(200, _SCHEMA, b"")
            return
        server = HTTPConnection("127.0.0.1", KUBECTL_PORT)
        kept = ("accept", "content-type", "user-agent")
        server.request(
            self.command, self.path, content, {k: v for k, v in self.headers.items() if k.lower() in kept}
        )
        answer = server.getresponse()
        kind = answer.headers.get("Content-Type", "")
        if answer.length is not None:
            self._answer(answer.status, kind, answer.read())
            return
        # A watch goes on, and each event is waited for.
        self.send_response(answer.status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(ConnectionError):
            while content := answer.read1():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), _Handler) as http:
        print("listening", flush=True)
        http.serve_forever()
