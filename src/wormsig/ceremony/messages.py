"""What two machines say to each other: every message of protocol 1, typed and validated by its type.

A letter carries a step of the ceremony and is acknowledged by its digest once the other side has journalled it
(`Progress` is the exception: fire and forget). The other messages belong to the channel itself. How messages become
bytes stands in `wire`; docs/wire-format.md specifies both. What a message means for the ceremony is decided by the
machines, not here.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from wormsig.psbt.limits import MAX_PEER_PSBT, MAX_TEXT

PROTOCOL = 1
MAX_PROBLEMS = 64
MAX_PROBLEM_TEXT = 200
MAX_OBJECT = MAX_PEER_PSBT
CHUNK_BYTES = 256 * 1024
MAX_COSIGNERS = 20
MAX_KEYS = 999
"""Of a wallet, and signatures that it needs: what one `multi_a` may hold (BIP387)."""

# "$" would let a final newline through, so the patterns end with \Z.
Hex32 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Hex64 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]

Role = Literal["coordinator", "cosigner"]
NetworkName = Literal["mainnet", "testnet3", "testnet4", "signet", "regtest"]
ProgressState = Literal["received", "reviewing", "signing", "waiting"]
Form = Literal["psbt", "transaction"]
Result = Literal["broadcast", "final", "not-needed", "cancelled", "failed"]
Seen = Literal["mempool", "block", "unknown", "no-node"]


class ObjectRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object that follows its letter in chunks.

    Attributes:
        sha256: SHA-256 of the whole object, lower-case hex.
        size: Its length in bytes, 1 to 8 MiB.
    """

    sha256: Hex64
    size: Annotated[int, Meta(ge=1, le=MAX_OBJECT)]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all messages: unknown fields and unknown types are refused."""


class Proposal(_Message, frozen=True, tag="proposal"):
    """Coordinator to cosigner: please review and sign this PSBT.

    Attributes:
        ceremony: The ceremony's id, 32 hex digits; every letter of the ceremony repeats it.
        network: The chain that the PSBT is for.
        wallet: Id of the agreed wallet (SHA-256 of its canonical descriptor), when there is one.
        threshold: Signatures needed.
        total: Keys in the wallet; of more than `MAX_KEYS` that many are said.
        psbt: The PSBT, which follows in chunks.
        unsigned_txid: Txid of the unsigned transaction, display order.
        sent_at: Unix time by the coordinator's clock; information only.
        note: Words of the coordinator for the cosigner.
    """

    ceremony: Hex32
    network: NetworkName
    wallet: Hex64 | None
    threshold: Annotated[int, Meta(ge=1, le=MAX_KEYS)]
    total: Annotated[int, Meta(ge=1, le=MAX_KEYS)]
    psbt: ObjectRef
    unsigned_txid: Hex64
    sent_at: Annotated[int, Meta(ge=0, lt=1 << 53)] | None
    note: Text = ""

    def __post_init__(self) -> None:
        if self.threshold > self.total:
            raise ValueError("threshold above the number of keys")


class Progress(_Message, frozen=True, tag="progress"):
    """Cosigner to coordinator: what the cosigner is doing. Not acknowledged, only the latest counts."""

    ceremony: Hex32
    state: ProgressState


class Contribution(_Message, frozen=True, tag="contribution"):
    """Cosigner to coordinator: what the signer returned.

    Attributes:
        ceremony: The ceremony's id.
        psbt: The object, which follows in chunks.
        form: A PSBT, or a final transaction in its network serialization.
    """

    ceremony: Hex32
    psbt: ObjectRef
    form: Form


class Decline(_Message, frozen=True, tag="decline"):
    """Cosigner to coordinator: no signature from here, and why."""

    ceremony: Hex32
    reason: Text


class Judged(_Message, frozen=True, tag="judged"):
    """Coordinator to cosigner: what was taken of a contribution.

    Attributes:
        ceremony: The ceremony's id.
        accepted: Signatures that verified and were new.
        rejected: Signatures that were not taken.
        problems: One short sentence per reason.
    """

    ceremony: Hex32
    accepted: Count
    rejected: Count
    problems: Annotated[tuple[Annotated[str, Meta(max_length=MAX_PROBLEM_TEXT)], ...], Meta(max_length=MAX_PROBLEMS)]


class Outcome(_Message, frozen=True, tag="outcome"):
    """Coordinator to cosigner: how it ended. The cosigner checks it; it is never believed as it stands.

    Attributes:
        ceremony: The ceremony's id.
        result: `broadcast` and `final` come with a txid.
        txid: Txid of the final transaction, display order.
        transaction: The final transaction, network serialization, which follows in chunks.
        reason: Words for `cancelled` and `failed`.
        head: The coordinator's head of this pair's transcript before this letter (`transcript`).
    """

    ceremony: Hex32
    result: Result
    txid: Hex64 | None
    transaction: ObjectRef | None
    reason: Text
    head: Hex64

    def __post_init__(self) -> None:
        if self.txid is None and self.result in ("broadcast", "final"):
            raise ValueError(f"result {self.result} without a txid")


class Farewell(_Message, frozen=True, tag="farewell"):
    """Cosigner to coordinator: the last letter, after an outcome.

    Attributes:
        ceremony: The ceremony's id.
        seen: Where the cosigner's own node sees the final transaction; `no-node` also where nothing was looked for,
            because no transaction came with the outcome.
        head: The cosigner's head of this pair's transcript before this letter (`transcript`).
    """

    ceremony: Hex32
    seen: Seen
    head: Hex64


class Chunk(_Message, frozen=True, tag="chunk"):
    """A piece of the object that the latest letter announced.

    Attributes:
        sha256: SHA-256 of the whole object.
        seq: Position, from 0; every piece but the last has 256 KiB.
        data: The bytes (base64 in JSON).
    """

    sha256: Hex64
    seq: Annotated[int, Meta(ge=0, lt=MAX_OBJECT // CHUNK_BYTES)]
    data: Annotated[bytes, Meta(min_length=1, max_length=CHUNK_BYTES)]


class Ack(_Message, frozen=True, tag="ack"):
    """The letter with this digest is journalled here, with its object."""

    of: Hex64


class Ping(_Message, frozen=True, tag="ping"):
    """I am still here. The mailbox protocol does not tell."""


class Bye(_Message, frozen=True, tag="bye"):
    """I leave now; the mailbox protocol does not tell that either."""

    reason: Text


class Compared(_Message, frozen=True, tag="compared"):
    """A person compared the verifier words with the other side. Sent only when one side asked for it."""

    same: bool


Letter = Proposal | Progress | Contribution | Decline | Judged | Outcome | Farewell
Message = Letter | Chunk | Ack | Ping | Bye | Compared

LETTERS: tuple[type[Letter], ...] = get_args(Letter)


def object_of(letter: Letter) -> ObjectRef | None:
    """The object that follows a letter, when one does."""
    if isinstance(letter, Proposal | Contribution):
        return letter.psbt
    if isinstance(letter, Outcome):
        return letter.transaction
    return None


def sender_of(letter: Letter) -> Role:
    """The role that may send a letter."""
    return "coordinator" if isinstance(letter, Proposal | Judged | Outcome) else "cosigner"
