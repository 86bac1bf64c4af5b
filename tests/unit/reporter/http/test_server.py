"""The server answers whoever asks in order, says why it does not answer others, and nobody can hold or fill it."""

import resource
import socket
import time

import pytest

from carpsidecar.reporter.http import connection
from carpsidecar.reporter.http.listen import Listen
from carpsidecar.reporter.http.server import CONNECTIONS_MAX
from tests.support.builders import snapshot
from tests.unit.reporter.http.busy import busy_state
from tests.unit.reporter.http.serving import Client, get, serve

PATHS = ("/", "/status.json", "/metrics", "/healthz", "/readyz", "/readyz/master")


def test_every_path_is_answered_over_one_connection_and_head_has_no_body() -> None:
    with serve(busy_state(time.time())) as served, Client(served.port) as client:
        for path in PATHS:
            reply = client.ask(path)
            assert reply.status in (200, 503)
            assert reply.body
            head = client.ask(path, "HEAD")
            assert (head.status, head.body) == (reply.status, b"")
            assert head.headers["content-type"] == reply.headers["content-type"]


def test_no_answer_may_be_framed_kept_or_read_by_another_site() -> None:
    with serve() as served:
        for path in (*PATHS, "/nothing"):
            headers = get(served, path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "access-control-allow-origin" not in headers


def test_a_path_that_there_is_not_names_those_that_there_are() -> None:
    with serve() as served:
        reply = get(served, "/metric")
        assert reply.status == 404
        assert all(path in reply.text for path in PATHS)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_refused_with_those_that_there_are(method: str) -> None:
    with serve() as served, Client(served.port) as client:
        reply = client.ask("/", method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert client.socket.recv(1) == b""


@pytest.mark.parametrize("length", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_body_is_not_taken(length: str) -> None:
    with serve() as served, Client(served.port) as client:
        client.socket.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
        assert client.read().status == 413
        assert client.hung_up()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /" + b"a" * connection.HEAD_SIZE_MAX + b" HTTP/1.1\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * connection.HEAD_SIZE_MAX, 431),
    ],
)
def test_what_is_no_request_is_refused_in_words(request_: bytes, status: int) -> None:
    with serve() as served, Client(served.port) as client:
        client.socket.sendall(request_)
        reply = client.read()
        assert reply.status == status
        assert reply.headers["content-type"].startswith("text/plain")
        assert len(reply.text) > 10
        assert "Traceback" not in reply.text


def test_a_bug_costs_one_answer_and_says_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as served, Client(served.port) as client:
        monkeypatch.setattr("carpsidecar.reporter.http.server.healthz", lambda state: 1 // 0)
        reply = client.ask("/healthz")
        assert (reply.status, "ZeroDivision" in reply.text) == (500, False)
        assert client.ask("/").status == 200


def test_requests_that_come_together_are_answered_in_order() -> None:
    with serve(busy_state(time.time())) as served, Client(served.port) as client:
        for path in ("/healthz", "/nothing", "/metrics", "/status.json"):
            client.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert [client.read().status for _ in range(4)] == [200, 404, 200, 200]


def test_a_request_may_come_byte_by_byte() -> None:
    with serve(busy_state(time.time())) as served, Client(served.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
            client.socket.sendall(bytes([byte]))
        assert client.read().status == 200


def test_a_client_that_says_no_more_gets_its_answer() -> None:
    with serve(busy_state(time.time())) as served, Client(served.port) as client:
        client.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read().status == 200
        assert client.hung_up()


def test_http_1_0_is_answered_and_hung_up_on() -> None:
    with serve(busy_state(time.time())) as served, Client(served.port) as client:
        client.socket.settimeout(0.7)
        client.socket.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.read().status == 200
        assert client.socket.recv(1) == b""


def test_a_trickle_does_not_prolong_the_time_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIME_S", 0.3)
    with serve() as served, Client(served.port) as client:
        begun = time.monotonic()
        seen = _trickle(client, b"GET / HTTP/1.1\r\nHost: " + b"a" * 100)
        assert seen == b"HTTP/1.1 408"
        assert 0.2 < time.monotonic() - begun < 1.5


def _trickle(client: Client, request: bytes) -> bytes:
    """Send it at 50 bytes a second, until there is an answer."""
    client.socket.settimeout(0.02)
    for byte in request:
        client.socket.sendall(bytes([byte]))
        try:
            return client.socket.recv(12)
        except TimeoutError:
            continue
    return b""


def test_who_asks_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIME_S", 0.1)
    monkeypatch.setattr(connection, "IDLE_TIME_S", 0.1)
    with serve() as served, Client(served.port) as silent, Client(served.port) as once:
        begun = time.monotonic()
        assert once.ask("/healthz").status == 503
        assert silent.hung_up()
        assert once.hung_up()
        assert time.monotonic() - begun < 3


def test_who_does_not_read_the_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIME_S", 0.2)
    with serve() as served, Client(served.port) as client:
        with pytest.raises(ConnectionError):
            _ask_without_end(client)
        assert get(served, "/").status == 200


def test_who_comes_to_ask_gets_an_answer_however_many_come_to_stay() -> None:
    with serve(busy_state(time.time())) as served:
        crowd = [Client(served.port) for _ in range(3 * CONNECTIONS_MAX)]
        for client in crowd[::2]:
            # Those that were too many are hung up on already.
            try:
                client.socket.sendall(b"GET / HTTP/1.1\r\nX: ")
            except ConnectionError:
                continue
        begun = time.monotonic()
        for _ in range(20):
            assert get(served, "/").status == 200
        assert time.monotonic() - begun < 2
        alive = sum(not _closed(client) for client in crowd)
        assert alive <= CONNECTIONS_MAX
        for client in crowd:
            client.socket.close()


def _closed(client: Client) -> bool:
    client.socket.settimeout(0.01)
    try:
        return client.socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _ask_without_end(client: Client) -> None:
    """And read nothing."""
    for _ in range(50_000):
        client.socket.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


def test_requests_without_end_on_connections_that_are_not_read_do_not_fill_the_memory() -> None:
    groups = [snapshot(f"group-{number}") for number in range(200)]
    state = busy_state(time.time())
    for group in groups:
        state.receive(group)
    with serve(state) as served:
        assert len(get(served, "/metrics").body) > 50_000
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clients = [Client(served.port) for _ in range(10)]
        for client in clients:
            client.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                _ask_without_end(client)
        assert get(served, "/").status == 200
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
        for client in clients:
            client.socket.close()


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9112", "127.0.0.1:80", "127.0.0.1", "[::1]:9112", "LOCALHOST."]
)
def test_on_loopback_this_machine_is_asked_for(host: str) -> None:
    with serve() as served:
        assert get(served, "/", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9112", "localhost.evil.example", "192.0.2.1", "[", "1"]
)
def test_on_loopback_a_name_of_another_site_is_refused(host: str) -> None:
    with serve() as served:
        for path in PATHS:
            reply = get(served, path, host=host)
            assert reply.status == 421
            assert "localhost" in reply.text


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_elsewhere_any_name_will_do_and_both_families_where_all_addresses_are_meant(listen: str) -> None:
    with serve(listen=listen) as served:
        assert get(served, "/", host="carp.example").status == 200


def test_it_listens_on_ipv6_alone_where_that_was_asked_for() -> None:
    with serve(listen="[::1]:0") as served:
        with Client(served.port, "::1") as client:
            assert client.ask("/").status == 200
        with pytest.raises(ConnectionRefusedError):
            Client(served.port, "127.0.0.1")


def test_where_nobody_can_listen_the_error_says_why_and_it_may_be_tried_again() -> None:
    with serve() as served:
        _cannot_serve(f"127.0.0.1:{served.port}", "Address already in use")
    _cannot_serve("192.0.2.1:9112", "Cannot assign requested address")


def _cannot_serve(listen: str, why: str) -> None:
    with pytest.raises(OSError, match=why) as failure, serve(listen=listen):
        pass
    assert failure.value.strerror == why


@pytest.mark.parametrize(
    "listen", ["", "9112", ":9112", "localhost:9112", "127.0.0.1", "::1:9112", "[127.0.0.1]:1", "127.0.0.1:70000"]
)
def test_what_is_no_address_and_port_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="is not address:port"):
        Listen.parse(listen)


def test_closed_it_hangs_up_on_everybody() -> None:
    with serve() as served:
        client = Client(served.port)
        assert client.ask("/").status == 200
    with client:
        assert client.hung_up()
