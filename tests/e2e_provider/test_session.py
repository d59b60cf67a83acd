"""What aiohttp leaves open, the session of the end-to-end suite waits for."""

import asyncio
import ssl

import trustme

from e2e.api import Access

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


async def test_a_connection_that_was_given_up_is_closed_when_its_session_is():
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)

    async def hang(reader, writer):
        writer.write(_HEAD)
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0, ssl=served)
    host, port = server.sockets[0].getsockname()
    async with Access(f"https://{host}:{port}", tls=trusting).session() as session:
        async with session.get("/") as answer:
            socket = answer.connection.transport.get_extra_info("socket")
        before = socket.fileno()

    assert before >= 0
    assert socket.fileno() == -1
    server.close()
    await server.wait_closed()
