"""A proxy before PostgreSQL that swallows an answer and cuts the connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable

READY = b"Z\x00\x00\x00\x05"


class Proxy:
    """Passes everything on, until `eat` says otherwise.

    Attributes:
        eat: given a request and its whole answer, returns whether to swallow the
            answer, after the server has carried the request out.
        eaten: how many answers were swallowed.
    """

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._upstream = str(parts.get("host") or ""), int(parts.get("port") or 5432)
        self._original = dsn
        self.eat: Callable[[bytes, bytes], bool] = lambda *_: False
        self.eaten = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.dsn = make_conninfo(
            self._original,
            host="127.0.0.1",
            port=port,
            sslmode="disable",
            gssencmode="disable",
        )
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        host, port = self._upstream
        if host.startswith("/"):
            server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server = await asyncio.open_connection(host, port)
        request = bytearray()
        asking = asyncio.ensure_future(self._ask(reader, server[1], request))
        try:
            # Cancelled at the end of the test; streams would complain about that.
            with suppress(OSError, asyncio.CancelledError):
                await self._answer(server[0], writer, request)
        finally:
            asking.cancel()
            writer.transport.abort()
            server[1].transport.abort()
            self._tasks.discard(task)

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: bytearray,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                request += data
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: bytearray,
    ) -> None:
        answer = bytearray()
        begun = False
        while data := await reader.read(65536):
            answer += data
            whole = answer[-6:-1] == READY
            if begun and request and not whole:
                continue
            if begun and whole and self.eat(bytes(request), bytes(answer)):
                self.eaten += 1
                return
            writer.write(bytes(answer))
            await writer.drain()
            answer.clear()
            # Up to the first READY they connect, in turns if a password is asked for.
            begun = begun or whole
            if whole:
                request.clear()
