"""The only way from a browser context to the network: a proxy on 127.0.0.1 that asks the gate about every connection.

Names are resolved here, and the address that was checked is the one that is connected to. One request per connection,
so that no connection to one host ever carries a request for another.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from planact_envs.chromium.gate import Address, Gate

MAX_HEAD = 64 * 1024  # bytes of a request's or an answer's headers
CONNECT_WAIT = 10.0  # s, until a site accepts the connection
MAX_LOG = 1000  # refusals and failures kept
HOP = (b"connection", b"proxy-connection", b"keep-alive")  # headers that speak of one connection only


class Refused(Exception):
    """The gate does not let this request through."""


class Proxy:
    """`unreached` lists the addresses that were not let through or did not answer, each with the reason."""

    def __init__(self, gate: Gate):
        self.gate = gate
        self.unreached: list[tuple[str, str]] = []
        self.tasks: set[asyncio.Task] = set()

    async def start(self) -> str:
        """Listen on a free port; gives the proxy's URL."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            await self._request(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            pass  # the browser hung up, or sent what is no request
        except asyncio.CancelledError:
            pass  # by `close`; Python 3.11's streams report a cancelled handler as an error
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start, *headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        method, target, _ = start.decode("ascii").split(" ")
        tunnel = method == "CONNECT"
        url = urlsplit(f"//{target}" if tunnel else target)
        host, port = url.hostname or "", url.port or 80
        try:
            address = await self._address(host, port)
            upstream = await asyncio.wait_for(asyncio.open_connection(*address, limit=MAX_HEAD), CONNECT_WAIT)
        except Refused as error:
            self._note(target, str(error))
            writer.write(_no_answer(headers, b"403 Forbidden"))
            return
        except OSError as error:  # TimeoutError is one
            self._note(target, str(error) or f"no connection within {CONNECT_WAIT:g} s")
            writer.write(_no_answer(headers, b"502 Bad Gateway"))
            return
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both_ways(reader, writer, *upstream)
            else:
                path = (url.path or "/") + (f"?{url.query}" if url.query else "")
                upstream[1].write(_head(f"{method} {path} HTTP/1.1".encode(), headers))
                await self._exchange(reader, writer, *upstream, _length(headers))
        finally:
            upstream[1].close()

    async def _exchange(self, reader, writer, up_reader, up_writer, length: int | None) -> None:
        """Send the request's body, then the answer."""
        body = asyncio.create_task(_copy(reader, up_writer, length))
        try:
            start, *headers = (await up_reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            writer.write(_head(start, headers))
            await _copy(up_reader, writer)
        finally:
            body.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await body

    async def _address(self, host: str, port: int) -> Address:
        """Where to connect to. Raises Refused, and OSError for a name that does not exist."""
        if reason := self.gate.refusal_of_host(host, port):
            raise Refused(reason)
        if host in self.gate.served:
            return self.gate.served[host]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        reasons = [(self.gate.refusal_of_address(host, info[4][0], port), info[4][:2]) for info in found]
        for reason, address in reasons:
            if not reason:
                return address
        raise Refused(reasons[0][0])

    def _note(self, target: str, reason: str) -> None:
        if len(self.unreached) < MAX_LOG:
            self.unreached.append((target, reason))


async def _both_ways(reader, writer, up_reader, up_writer) -> None:
    """Carry bytes both ways until one side is done."""
    ways = [asyncio.create_task(_copy(reader, up_writer)), asyncio.create_task(_copy(up_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int | None = None) -> None:
    """Up to the end, or `length` bytes."""
    while length is None or length > 0:
        data = await reader.read(65536 if length is None else min(65536, length))
        if not data:
            break
        writer.write(data)
        await writer.drain()
        length = None if length is None else length - len(data)


def _head(start: bytes, headers: list[bytes]) -> bytes:
    """Start line and headers, with this connection ending after this exchange."""
    kept = [line for line in headers if line.split(b":")[0].strip().lower() not in HOP]
    return b"\r\n".join([start, *kept, b"Connection: close", b"", b""])


def _length(headers: list[bytes]) -> int:
    """Bytes of a request's body. A browser names the length of what it sends."""
    return next((int(line.split(b":")[1]) for line in headers if line.lower().startswith(b"content-length:")), 0)


def _no_answer(headers: list[bytes], status: bytes) -> bytes:
    """What stands for the site's answer. To a page that was to be opened it says "no content", and the browser stays where it is."""
    opening = any(line.lower().startswith(b"upgrade-insecure-requests:") for line in headers)
    return b"HTTP/1.1 " + (b"204 No Content" if opening else status) + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
