"""One ceremony in a list: how far it is, who signed, what it waits for. Values only; `app.ceremonies` makes them."""

from __future__ import annotations

from typing import Literal

import msgspec

Awaited = Literal["cosigner", "finalize", "broadcast-decision", "broadcast", "to-tell", "decision", "signature",
                  "to-send", "outcome", "to-decline"]  # fmt: skip
"""What a ceremony waits for; docs/howto/resume.md says it in words."""


class Waiting(msgspec.Struct, frozen=True):
    """Something that a ceremony waits for.

    Attributes:
        what: Of what kind.
        who: The cosigner, when it is one.
        stage: Where that cosigner stands.
    """

    what: Awaited
    who: str | None = None
    stage: str | None = None


class Summary(msgspec.Struct, frozen=True):
    """One ceremony in a list.

    Attributes:
        id: As the journal has it.
        role: `coordinator` or `cosigner`.
        network: The network's name.
        wallet: Our name of the wallet, when it is known.
        created: Unix time.
        phase: Where it stands, or `unreadable`.
        sats: What leaves the wallet, when that is known.
        have: Distinct keys that signed (coordinator only).
        need: The threshold.
        signed: Names, else fingerprints, of the keys that signed; for a cosigner `here` when it was signed here.
        awaits: What it waits for.
        cosigners: Name and stage of each (coordinator only).
        notes: By name, what a cosigner said or what was wrong (coordinator only).
        txid: Of the unsigned transaction, or of the final one when there is one; display hex.
        outcome: How the coordinator says it ended (cosigner only).
        open: Something is still to be done.
        process: The process that runs it now.
    """

    id: str
    role: str
    network: str
    wallet: str | None
    created: int
    phase: str
    sats: int | None = None
    have: int | None = None
    need: int | None = None
    signed: tuple[str, ...] = ()
    awaits: tuple[Waiting, ...] = ()
    cosigners: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    txid: str | None = None
    outcome: str | None = None
    open: bool = False
    process: int | None = None
