"""Every time limit of the transport, in one value. Seconds."""

from __future__ import annotations

import os

import msgspec

from wormsig.errors import UsageError

HOUR = 3600.0


class Limits(msgspec.Struct, frozen=True):
    """Time limits in seconds; tests shorten them.

    Attributes:
        connect: For the relay to answer, retries included.
        pairing: For somebody to use a code that this side made.
        entry: For the other side to be there when this side enters a code that it was told, or has made one that the
            relay may have forgotten.
        handshake: From the first sign of the other side to an agreed key.
        meeting: The same at a rendezvous, where two machines meet that know each other and nobody types.
        stagger: At a rendezvous, between the first place that a cosigner goes to and the second.
        elsewhere: How long a cosigner with several relays looks for the other side at one before it looks at the next.
        takeover: From a pairing until the coordinator also waits at the rendezvous, beside the live channel: a cosigner
            that was killed comes back there at once.
        comeback: How long a cosigner waits for a coordinator that vanished without a goodbye.
        replay: For the relay to show the mailbox again after a reconnection, before pairing.
        heartbeat: Between two signs of life of ours.
        quiet: After this the person is told that there is no sign of the other side.
        silence: After this the other side is gone. A sleeping laptop should fit in: the relay keeps a mailbox as long
            as one side is connected, and a peer that wakes up goes on.
        acknowledge: For the other side to journal a letter; transfer time comes on top.
        slowest: Bytes per second below which a transfer counts as stuck.
        compare: For the other person to compare the verifier words.
        farewell: For the other side to acknowledge the outcome; transfer time comes on top.
        close: For a goodbye. After that the connection is dropped.
    """

    connect: float = 20.0
    pairing: float = 24 * HOUR
    entry: float = 300.0
    handshake: float = 60.0
    elsewhere: float = 10.0
    meeting: float = 15.0
    stagger: float = 3.0
    takeover: float = 5.0
    comeback: float = 1800.0
    replay: float = 20.0
    heartbeat: float = 60.0
    quiet: float = 180.0
    silence: float = 1800.0
    acknowledge: float = 120.0
    slowest: float = 8000.0
    compare: float = 1800.0
    farewell: float = 20.0
    close: float = 5.0

    def delivery(self, size: int) -> float:
        """For a letter and an object of `size` bytes to arrive and be acknowledged."""
        return self.acknowledge + size / self.slowest


def limits_from_environment() -> Limits:
    """The limits, with those that `WORMSIG_LIMITS` changes: `pairing=60,silence=120`, in seconds.

    Raises:
        UsageError: Not such a list.
    """
    known = frozenset(Limits.__struct_fields__)
    changes: dict[str, float] = {}
    for item in filter(None, os.environ.get("WORMSIG_LIMITS", "").split(",")):
        name, _, value = item.strip().partition("=")
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if name not in known or not 0 < seconds < 1e9:
            raise UsageError(f"WORMSIG_LIMITS: {item!r} is not a time limit", hint=f"known: {', '.join(sorted(known))}")
        changes[name] = seconds
    return msgspec.structs.replace(Limits(), **changes)
