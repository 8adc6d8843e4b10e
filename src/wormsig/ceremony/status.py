"""What a running ceremony tells: frozen values that `app` emits and `render` shows.

No secret is in them but the codes, which are there to be read to a cosigner. Names of cosigners are ours. Texts that
come from a peer (`reason`, `why`, `problem`) are raw here and escaped where they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """A ceremony exists in the journal."""

    ceremony: str
    role: str
    threshold: int
    have: int
    cosigners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedHere:
    """Our own signer signed."""

    signer: str
    have: int
    need: int


@dataclass(frozen=True, slots=True)
class CodeReady:
    """A code to be read to a cosigner; `replaces`: the one before cannot be used any more."""

    cosigner: str
    code: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """Somebody who had the code is there."""

    cosigner: str
    verifier: str


@dataclass(frozen=True, slots=True)
class PsbtDelivered:
    """The cosigner has the whole PSBT."""

    cosigner: str


@dataclass(frozen=True, slots=True)
class PeerProgress:
    """What the cosigner says it is doing."""

    cosigner: str
    state: str


@dataclass(frozen=True, slots=True)
class SignaturesTaken:
    """An answer's signatures were verified and merged.

    Attributes:
        cosigner: Whose code brought them.
        keys: Names or fingerprints of the keys that signed, by verification.
        new: Signatures that were new.
        rejected: Signatures that were not taken.
        problems: Why.
        ignored: Other fields that came back changed, and were left.
        have: Distinct keys so far.
        need: The threshold.
    """

    cosigner: str
    keys: tuple[str, ...]
    new: int
    rejected: int
    problems: tuple[str, ...]
    ignored: tuple[str, ...]
    have: int
    need: int


@dataclass(frozen=True, slots=True)
class AnswerRefused:
    """Nothing of an answer could be taken."""

    cosigner: str
    problem: str


@dataclass(frozen=True, slots=True)
class PeerDeclined:
    """A cosigner said no."""

    cosigner: str
    reason: str


@dataclass(frozen=True, slots=True)
class CodeFailed:
    """A code was used up without a pairing."""

    cosigner: str
    why: str
    count: int


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The connection to a cosigner ended."""

    cosigner: str
    why: str


@dataclass(frozen=True, slots=True)
class ConnectionNotice:
    """Something on a connection that needs no answer; `cosigner` is None on a cosigner's own side."""

    cosigner: str | None
    notice: str


@dataclass(frozen=True, slots=True)
class RelayChosen:
    """Of several relays this one is in use now."""

    relay: str


@dataclass(frozen=True, slots=True)
class RelayPaused:
    """A relay keeps forgetting codes; the next one waits."""

    relay: str
    seconds: int


@dataclass(frozen=True, slots=True)
class ThresholdReached:
    """Enough verified signatures."""

    have: int
    need: int
    txid: str
    vsize: int


@dataclass(frozen=True, slots=True)
class NodeAccepts:
    """Our node would take the transaction."""

    vsize: int


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Our node has the transaction."""

    txid: str


@dataclass(frozen=True, slots=True)
class OutcomeDelivered:
    """A cosigner knows how it ended."""

    cosigner: str
    result: str


@dataclass(frozen=True, slots=True)
class StillToTell:
    """A cosigner who does not know the outcome yet is waited for."""

    cosigner: str
    result: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A cosigner's side: the code worked."""

    verifier: str


@dataclass(frozen=True, slots=True)
class PsbtReceived:
    """A cosigner's side: the whole PSBT is here."""

    ceremony: str
    size: int


@dataclass(frozen=True, slots=True)
class SignedBefore:
    """A cosigner's side: this very PSBT was signed here before; the same signatures are sent again."""

    ceremony: str


@dataclass(frozen=True, slots=True)
class AnswerSent:
    """A cosigner's side: the coordinator has the signatures."""

    signatures: int


@dataclass(frozen=True, slots=True)
class DeclineSent:
    """A cosigner's side: the coordinator knows the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class AnswerJudged:
    """A cosigner's side: what the coordinator says it took."""

    accepted: int
    rejected: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutcomeSeen:
    """A cosigner's side: how it ended, and what we saw ourselves.

    Attributes:
        result: What the coordinator says: broadcast, final, not-needed, cancelled, failed.
        txid: The transaction's id, when the transaction came along and is the one we approved.
        reason: The coordinator's words.
        seen: What our own node says: `mempool`, `block`, `unknown`, or `no-node`.
        lie: The transaction is not the one we approved.
    """

    result: str
    txid: str | None
    reason: str
    seen: str
    lie: bool = False


@dataclass(frozen=True, slots=True)
class CoordinatorGone:
    """A cosigner's side: the connection ended before the outcome; it can be taken up again."""

    why: str


@dataclass(frozen=True, slots=True)
class Rejoining:
    """A cosigner's side: waiting for the coordinator, without a code."""

    ceremony: str


@dataclass(frozen=True, slots=True)
class Rejoined:
    """A cosigner's side: the coordinator is back."""

    ceremony: str


Status = (
    Started | SignedHere | CodeReady | PeerConnected | PsbtDelivered | PeerProgress | SignaturesTaken | AnswerRefused
    | PeerDeclined | CodeFailed | PeerLost | ConnectionNotice | RelayChosen | RelayPaused | ThresholdReached
    | NodeAccepts | Broadcast
    | OutcomeDelivered | StillToTell | Joined | PsbtReceived | SignedBefore | AnswerSent | DeclineSent | AnswerJudged
    | OutcomeSeen | CoordinatorGone | Rejoining | Rejoined
)  # fmt: skip
