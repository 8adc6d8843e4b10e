"""What a ceremony leaves on every side: a receipt, as values. Pure; docs/receipt-format.md describes every field.

A receipt is made from a journal (`app.receipts`), shown by `render`, and compared with the other side's (`comparison`);
whether it fits itself is looked at in `receipt_checks`. One that comes from somewhere else is only data: bounded,
checked against these types, and believed in nothing.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wormsig.ceremony import messages
from wormsig.ceremony.messages import (  # noqa: TC001  msgspec reads the annotations when it decodes
    Hex32,
    Hex64,
    NetworkName,
    Result,
    Role,
    Seen,
)
from wormsig.ceremony.transcript import Sender, Transcript
from wormsig.errors import InputError
from wormsig.psbt.limits import MAX_INPUTS, MAX_OUTPUTS, MAX_TEXT

FORMAT: Final = 1
MAX_RECEIPT = 16 << 20
"""Bytes of a receipt that comes from somewhere else."""

MAX_LIST = 4096
"""Entries of a list that grows with what people do: connections, happenings."""

MAX_LETTERS = 512
"""Letters between two; an honest ceremony has a handful, and each answer and judgement is counted (THREATS R10)."""

MAX_SIGNATURES = 500_000
"""Signatures over all inputs: 25,000 of 20 keys each."""

Time = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z\Z")]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Sats = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
Count = Annotated[int, Meta(ge=0, le=1 << 32)]
Hex = Annotated[str, Meta(pattern=r"\A([0-9a-f]{2})*\Z")]
Outpoint = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}:[0-9]{1,10}\Z")]
Fingerprint = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}\Z")]
Kind = Literal["proposal", "contribution", "decline", "judged", "outcome", "farewell"]
Origin = Literal["here", "cosigner", "proposal"]
Heads = Literal["none", "agree", "earlier", "differ"]

SENDERS: dict[Kind, Sender] = {
    "proposal": "coordinator",
    "judged": "coordinator",
    "outcome": "coordinator",
    "contribution": "cosigner",
    "decline": "cosigner",
    "farewell": "cosigner",
}


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts: every field is there, and no other."""


class WalletPart(_Part, frozen=True):
    """The wallet that was spent from.

    Attributes:
        id: SHA-256 of its canonical descriptor.
        name: This side's name for it.
        policy: What it takes to spend from it, in words.
        known: It is on this side's machine: only then change is told from payments.
    """

    id: Hex64
    name: Text | None
    policy: Text | None
    known: bool


class CoinPart(_Part, frozen=True):
    """An input of the transaction.

    Attributes:
        outpoint: `txid:vout`.
        sats: Its amount, when the PSBT says it.
        mine: It is the wallet's.
        path: `branch/index` in the wallet.
    """

    outpoint: Outpoint
    sats: Sats | None
    mine: bool
    path: Text | None


class OutputPart(_Part, frozen=True):
    """An output of the transaction.

    Attributes:
        sats: Its amount.
        script: Its scriptPubKey.
        address: When the script has one.
        kind: What it is to the wallet.
        path: `branch/index` in the wallet, when it is change.
    """

    sats: Sats
    script: Hex
    address: Text | None
    kind: Literal["payment", "change", "data"]
    path: Text | None


class ReviewPart(_Part, frozen=True):
    """What a review found: codes of docs/findings.md."""

    at: Time
    errors: Annotated[tuple[Text, ...], Meta(max_length=MAX_LIST)]
    warnings: Annotated[tuple[Text, ...], Meta(max_length=MAX_LIST)]


class ApprovalPart(_Part, frozen=True):
    """Somebody agreed to sign."""

    at: Time
    by: Literal["person", "unattended", "policy"]


class DeclinePart(_Part, frozen=True):
    """Somebody, or something, did not agree."""

    at: Time
    by: Literal["person", "review", "policy"]
    reason: Text


class SignaturePart(_Part, frozen=True):
    """A signature that verified on this side's own copy.

    Attributes:
        at: When it was here.
        input: The input's index.
        pubkey: The key that it is under.
        fingerprint: Of the key's master key.
        name: This side's name for the key, from the wallet.
        origin: Made here (or read from a file), brought by a cosigner, or in the PSBT from the beginning.
        via: By whose code it came.
    """

    at: Time
    input: Annotated[int, Meta(ge=0, lt=MAX_INPUTS)]
    pubkey: Hex
    fingerprint: Fingerprint | None
    name: Text | None
    origin: Origin
    via: Text | None


class LetterPart(_Part, frozen=True):
    """A letter: its hash, and what it said as far as this side's journal has it.

    Attributes:
        at: When this side journalled it: received it, or knew that the other side has it.
        kind: Which letter; it says who sent it.
        digest: `wire.digest`.
        sha256: Of the object that came with it: the PSBT, or the final transaction.
        size: The object's bytes.
        result: Of an outcome.
        txid: Of an outcome.
        reason: Of a decline or an outcome.
        accepted: Signatures taken, in a judgement.
        rejected: Signatures not taken.
        problems: Why not.
        seen: Of a farewell.
        head: The head that its sender told with it.
    """

    at: Time
    kind: Kind
    digest: Hex64
    sha256: Hex64 | None = None
    size: Count | None = None
    result: Result | None = None
    txid: Hex64 | None = None
    reason: Text | None = None
    accepted: Count | None = None
    rejected: Count | None = None
    problems: Annotated[tuple[Text, ...], Meta(max_length=messages.MAX_PROBLEMS)] | None = None
    seen: Seen | None = None
    head: Hex64 | None = None

    @property
    def sender(self) -> Sender:
        """Who sent it."""
        return SENDERS[self.kind]


class ConnectionPart(_Part, frozen=True):
    """A connection: the verifier words that both sides could have compared."""

    at: Time
    verifier: Text


class PairPart(_Part, frozen=True):
    """Everything between this side and one other.

    Attributes:
        name: This side's name for the other; `coordinator` on a cosigner's side.
        psbt_sha256: Of the PSBT that went between them.
        connections: Each one that was made.
        letters: In the order in which this side knew of them.
        head: Of this side's transcript.
        their_head: What the other side told last.
        heads: `agree`; `earlier` where theirs stands for a part of ours only, because a letter was under way; `differ`.
    """

    name: Text
    psbt_sha256: Hex64
    connections: Annotated[tuple[ConnectionPart, ...], Meta(max_length=MAX_LIST)]
    letters: Annotated[tuple[LetterPart, ...], Meta(max_length=MAX_LETTERS)]
    head: Hex64
    their_head: Hex64 | None
    heads: Heads

    @property
    def transcript(self) -> Transcript:
        """What was said."""
        return transcript_of(self.letters)


class FinalPart(_Part, frozen=True):
    """The final transaction, as this side has it.

    Attributes:
        at: When it was here.
        txid: Its id.
        wtxid: The hash of all of it, signatures included, display hex.
        vsize: Virtual bytes.
    """

    at: Time
    txid: Hex64
    wtxid: Hex64
    vsize: Count


class HappeningPart(_Part, frozen=True):
    """One line of what happened, in order.

    Attributes:
        at: When.
        what: The event's name, as in docs/state-machines.md.
        who: Which cosigner.
        words: A reason, a problem, or what it was about.
    """

    at: Time
    what: Text
    who: Text | None
    words: Text | None


class Receipt(_Part, frozen=True):
    """One side's receipt.

    Attributes:
        wormsig_receipt: The format's version.
        wormsig: The version of wormsig that wrote it.
        made_at: When it was written.
        role: Whose side.
        ceremony: The ceremony's id.
        network: The chain, when it was known.
        began_at: When it began on this side.
        ended_at: When its fate was settled.
        phase: Where it stands.
        threshold: Signatures that every input needs.
        wallet: The wallet, when one was named.
        psbt_sha256: Of the PSBT that was proposed to this side, or by it.
        unsigned_txid: Id of the unsigned transaction.
        inputs: In order.
        outputs: In order.
        fee_sats: Inputs minus outputs, when all amounts are known.
        locktime: As in the transaction.
        review: What the last review found.
        approval: Who agreed to sign here.
        decline: Who did not, and why.
        signatures: That verified.
        pairs: What went between this side and each other.
        final: The final transaction.
        history: Everything that happened.
    """

    wormsig_receipt: Literal[1]
    wormsig: Text
    made_at: Time
    role: Role
    ceremony: Hex32
    network: NetworkName | None
    began_at: Time
    ended_at: Time | None
    phase: Text
    threshold: Count
    wallet: WalletPart | None
    psbt_sha256: Hex64
    unsigned_txid: Hex64
    inputs: Annotated[tuple[CoinPart, ...], Meta(min_length=1, max_length=MAX_INPUTS)]
    outputs: Annotated[tuple[OutputPart, ...], Meta(max_length=MAX_OUTPUTS)]
    fee_sats: Sats | None
    locktime: Count
    review: ReviewPart | None
    approval: ApprovalPart | None
    decline: DeclinePart | None
    signatures: Annotated[tuple[SignaturePart, ...], Meta(max_length=MAX_SIGNATURES)]
    pairs: Annotated[tuple[PairPart, ...], Meta(max_length=messages.MAX_COSIGNERS)]
    final: FinalPart | None
    history: Annotated[tuple[HappeningPart, ...], Meta(max_length=MAX_LIST)]


_DECODER = msgspec.json.Decoder(Receipt)


def read(data: bytes) -> Receipt:
    """Read a receipt that somebody gave us.

    Args:
        data: JSON; at most `MAX_RECEIPT` bytes.

    Returns:
        The receipt, which may say anything.

    Raises:
        InputError: Too long, or not a receipt of this format.
    """
    if len(data) > MAX_RECEIPT:
        raise InputError(f"the receipt has more than {MAX_RECEIPT} bytes")
    try:
        receipt = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # The parser's words may repeat one of the file's: they are escaped where they are printed.
        raise InputError(f"this is not a receipt: {error}", hint="`wormsig receipt --json` writes one") from None
    return receipt


def write(receipt: Receipt) -> bytes:
    """A receipt as JSON on one line, without a line break.

    Args:
        receipt: The receipt.

    Returns:
        UTF-8; `read` gives the receipt back.
    """
    return msgspec.json.encode(receipt)


def transcript_of(letters: tuple[LetterPart, ...]) -> Transcript:
    """The transcript that letters make.

    Args:
        letters: In the order in which a side knew of them.

    Returns:
        The transcript.
    """
    transcript = Transcript()
    for letter in letters:
        transcript = transcript.with_letter(letter.sender, letter.digest)
    return transcript
