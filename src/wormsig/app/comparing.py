"""Two persons compare the verifier words, for as long as both are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.app.threads import first_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wormsig.transport.channel import Channel


async def compare_verifier(channel: Channel, ask: Callable[[str], Awaitable[bool]]) -> None:
    """Have our person compare, when one of the two asked for it.

    Args:
        channel: Nothing was sent through it yet.
        ask: The words -> whether the other side reads the same; taken back when the other side leaves.

    Raises:
        VerifierMismatchError: One of the two said no.
        UsageError: Nobody is here to compare.
        TransportError: The other side left.
    """
    if channel.must_compare:
        # No letter can come before both have compared, so `receive` ends only with the channel.
        _, same = await first_of(ask(" ".join(channel.verifier_words())), channel.receive())
        await channel.compare(bool(same))
