"""Carries connections from loopback of the host into another network namespace.

    python -m e2e.node.door PID ADDRESS:PORT TARGET PORT...

PID is a process in that namespace. Each PORT of the host leads to the same port of loopback there; ADDRESS:PORT is
listened to over there, and leads to the port TARGET.
"""

import asyncio
import ctypes
import os
import socket
import sys
from contextlib import suppress

_CLONE_NEWNET = 0x40000000
_CHUNK = 65536


def enter(pid: int) -> None:
    """Sockets that are made from now on belong to the other namespace; those that exist stay where they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net") as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"setns to the network of process {pid}: {os.strerror(code)}")


async def serve(listeners: dict[socket.socket, int]) -> None:
    """Have each listener lead to a port."""
    for listener, port in listeners.items():
        await asyncio.start_server(lambda reader, writer, port=port: _join(reader, writer, port), sock=listener)
    print("open", flush=True)
    await asyncio.Event().wait()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    try:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(_pump(reader, forth), _pump(back, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    except OSError:
        target.transport.abort()
    finally:
        with suppress(OSError):
            target.close()


def main(pid: int, there: str, target: int, ports: list[int]) -> None:
    listeners = {socket.create_server(("127.0.0.1", port)): port for port in ports}
    enter(pid)
    address, _, number = there.rpartition(":")
    listeners[socket.create_server((address, int(number)))] = target
    asyncio.run(serve(listeners))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), [int(each) for each in sys.argv[4:]])
