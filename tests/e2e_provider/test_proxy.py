"""The proxy that holds requests ends cleanly at any moment: what it left open would be a warning, and so an error."""

import gc
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from e2e.api import Access, until
from e2e.proxy import Proxy

REQUEST = b"%s /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[Access]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Access(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(proxy.server.rpartition(":")[2])), timeout=5)


def test_what_is_not_held_passes_both_ways(upstream: Access):
    with Proxy(upstream, lambda method, path: False) as proxy, connect(proxy) as client:
        for _ in range(2):
            client.sendall(REQUEST % (b"POST", b"passes"))
            answer = b""
            while not answer.endswith(b"hi"):
                answer += client.recv(1024)
            assert answer.startswith(b"HTTP/1.1 200")
    assert proxy.held == []


def test_it_ends_with_requests_held_answered_and_just_begun(upstream: Access):
    for _ in range(15):
        with Proxy(upstream, lambda method, path: path == "/held") as proxy:
            clients = [connect(proxy) for _ in range(12)]
            for number, client in enumerate(clients):
                client.sendall(REQUEST % (b"POST", b"held" if number % 3 else b"passes"))
                if number % 4 == 0:
                    client.close()
            until(lambda: len(proxy.held) >= 4, "requests held", 5)
            late = connect(proxy)
        for client in (*clients, late):
            client.close()
    gc.collect()
