"""Servers beside the thread that puts the cases."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Final

PATIENCE_S: Final = 6.0


class Beside:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have it done there; returns or raises what it does."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def exchange(port: int, sent: bytes, *, more: bool) -> tuple[int, bytes]:
    """What a server on loopback answers to these bytes: status and body; 0 if it hangs up without a word.

    more : whether it may think that more is to come; else the connection is closed behind them.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        if not more:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(2**16):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]), body) if head.startswith(b"HTTP/1.") else (0, answer)
