"""A bad line to a relay: TCP in between that can break in every way a line breaks, at a moment that the test names.

It runs in a thread of its own, so that tests may wait for processes meanwhile. Bytes are passed on as they come, and
because the relay speaks WebSocket in the clear, also message by message: a `Trap` waits for one message of the mailbox
protocol and breaks the line right before, within, or right after it. What a ceremony makes of it is for the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

Way = Literal["up", "down"]
"""`up`: what our side adds to the mailbox; `down`: what the other side added, as the relay passes it on."""

Break = Literal["before", "within", "after", "hold", "swallow"]
"""Cut before the message, in its middle, or after it; stop passing on anything while the connection stands; lose it."""

PIECE = 65536


@dataclass
class Trap:
    """Breaks the line once, at one message.

    Attributes:
        way: Whose message.
        phase: Its phase: `pake`, `version`, then `0`, `1`, ... as the library numbers them; None is the next one.
        how: What breaks.
        then: Called in a thread once the line is broken, e.g. to kill the relay.
        sprung: Set when it has happened, and `then` has been called.
    """

    way: Way
    phase: str | None
    how: Break
    then: Callable[[], object] | None = None
    sprung: threading.Event = field(default_factory=threading.Event)
    armed: bool = True


class _Frames:
    """Cuts a WebSocket byte stream into the HTTP head and frames; a frame's text, where it has one."""

    def __init__(self) -> None:
        self._buffer = b""
        self._head = True

    def feed(self, data: bytes) -> list[tuple[bytes, dict[str, Any]]]:
        self._buffer += data
        found = []
        while True:
            size, payload = self._next()
            if not size:
                return found
            found.append((self._buffer[:size], _fields(payload)))
            self._buffer = self._buffer[size:]

    def _next(self) -> tuple[int, bytes]:
        """The length of the next whole frame, 0 when it is not there yet, and its payload."""
        data = self._buffer
        if self._head:
            end = data.find(b"\r\n\r\n") + 4
            self._head = end < 4
            return (0 if self._head else end), b""
        if len(data) < 2:
            return 0, b""
        masked, length, at = data[1] & 0x80, data[1] & 0x7F, 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + wide], "big"), 2 + wide
        mask = data[at : at + 4] if masked else b""
        at += len(mask)
        if len(data) < at + length:
            return 0, b""
        payload = data[at : at + length]
        if mask:
            wide_mask = (mask * (length // 4 + 1))[:length]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(wide_mask, "big")).to_bytes(length, "big")
        return at + length, payload


def _fields(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@dataclass(eq=False)
class _Line:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    relay: asyncio.StreamWriter
    side: str = ""

    def abort(self) -> None:
        for writer in (self.client, self.relay):
            writer.transport.abort()


class Proxy:
    """A TCP proxy to a port on loopback, in a thread. A context manager.

    Args:
        port: Where the relay listens; it may be down, and come back.

    Attributes:
        delay: Seconds that each piece waits, in both directions.
        cut_after: Break the first connection after so many bytes in one direction, the next one after the next number.
        refusing: Take no connection: accept it and reset it at once.
        seen: Every message of the mailbox that passed, as (way, phase), each once.
        connections: How many connections there have been.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="bad-line")
        self._lines: set[_Line] = set()
        self._traps: list[Trap] = []
        self._open: asyncio.Event | None = None
        self.delay = 0.0
        self.cut_after: list[int] = []
        self.refusing = False
        self.connections = 0
        self.seen: list[tuple[Way, str]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.port: int = self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """The relay's URL through this line."""
        return f"ws://127.0.0.1:{self.port}/v1"

    # What a test does to the line.

    def trap(self, way: Way, phase: str | None, how: Break, then: Callable[[], object] | None = None) -> Trap:
        """Break the line at a message that is still to come."""
        trap = Trap(way, phase, how, then)
        self._loop.call_soon_threadsafe(self._traps.append, trap)
        return trap

    def cut(self) -> None:
        """Every connection breaks now; new ones are possible."""
        self._call(self._cut())

    def hold(self) -> None:
        """Half-open: connections stand, new ones are accepted, and nothing passes any more."""
        self._call(self._set_open(False))

    def mend(self) -> None:
        """Everything passes again."""
        self.refusing, self.cut_after, self.delay = False, [], 0.0
        self._call(self._set_open(True))

    # The thread.

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._open = asyncio.Event()
        self._open.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        self._server.close()
        await self._cut()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        for line in list(self._lines):
            line.abort()

    async def _set_open(self, is_open: bool) -> None:
        assert self._open is not None
        if is_open:
            self._open.set()
        else:
            self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.refusing:
                raise ConnectionError
            from_relay, to_relay = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, to_relay)
        self._lines.add(line)
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._pump("up", reader, to_relay, line), self._pump("down", from_relay, writer, line)
                )
        finally:
            line.abort()
            self._lines.discard(line)

    async def _pump(self, way: Way, source: asyncio.StreamReader, target: asyncio.StreamWriter, line: _Line) -> None:
        frames, passed = _Frames(), 0
        assert self._open is not None
        while data := await source.read(PIECE):
            if self.delay:
                await asyncio.sleep(self.delay)
            for raw, message in frames.feed(data):
                await self._open.wait()
                if not await self._spring(way, raw, message, target, line):
                    await self._pass(raw, target)
                passed += len(raw)
                if self.cut_after and passed >= self.cut_after[0]:
                    self.cut_after.pop(0)
                    line.abort()
                    raise ConnectionError
        line.abort()

    async def _pass(self, raw: bytes, target: asyncio.StreamWriter) -> None:
        target.write(raw)
        await target.drain()

    async def _spring(
        self, way: Way, raw: bytes, message: dict[str, Any], target: asyncio.StreamWriter, line: _Line
    ) -> bool:
        """Whether a trap took the message."""
        if message.get("type") == "bind":
            line.side = str(message["side"])
        kind = message.get("type")
        ours = kind == "add" if way == "up" else kind == "message" and message.get("side") != line.side
        if not ours:
            return False
        phase = str(message["phase"])
        if (way, phase) not in self.seen:
            self.seen.append((way, phase))
        trap = next((t for t in self._traps if t.armed and t.way == way and t.phase in (None, phase)), None)
        if trap is None:
            return False
        trap.armed = False
        await self._break(trap, raw, target, line)
        return trap.how == "swallow"

    async def _break(self, trap: Trap, raw: bytes, target: asyncio.StreamWriter, line: _Line) -> None:
        assert self._open is not None
        if trap.how == "within":
            await self._pass(raw[: len(raw) // 2], target)
        elif trap.how == "after":
            await self._pass(raw, target)
        if trap.how in ("hold", "after"):
            self._open.clear()  # also between a message that was passed and what follows it
        if trap.then is not None:
            await asyncio.to_thread(trap.then)
        trap.sprung.set()
        if trap.how == "hold":
            await self._open.wait()
        elif trap.how != "swallow":
            if trap.how == "after":
                self._open.set()
            line.abort()
            raise ConnectionError
