"""What a running ceremony tells: frozen values that `app` emits and `render` shows.

No secret is in them but the codes, which are there to be read to a cosigner. Names of cosigners are ours. Texts that
come from a peer (`reason`, `why`, `problem`) are raw here and escaped where they are shown.
"""

from __future__ import annotations

import msgspec


class _Told(msgspec.Struct, frozen=True):
    """Base of all of them."""


class Started(_Told, frozen=True):
    """A ceremony exists in the journal; `awaited`: who is waited for without a new code, when one goes on with it."""

    ceremony: str
    role: str
    threshold: int
    have: int
    cosigners: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


class MayReturn(_Told, frozen=True):
    """Somebody who has answered, and did not sign, is given some seconds to come back and think again."""

    cosigner: str
    stage: str
    seconds: float


class SignedHere(_Told, frozen=True):
    """Our own signer signed."""

    signer: str
    have: int
    need: int


class CodeReady(_Told, frozen=True):
    """A code to be read to a cosigner; `replaces`: the one before cannot be used any more."""

    cosigner: str
    code: str
    replaces: bool = False


class PeerConnected(_Told, frozen=True):
    """Somebody who had the code is there."""

    cosigner: str
    verifier: str


class PsbtDelivered(_Told, frozen=True):
    """The cosigner has the whole PSBT."""

    cosigner: str


class PeerProgress(_Told, frozen=True):
    """What the cosigner says it is doing."""

    cosigner: str
    state: str


class SignaturesTaken(_Told, frozen=True):
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


class AnswerRefused(_Told, frozen=True):
    """Nothing of an answer could be taken."""

    cosigner: str
    problem: str


class PeerDeclined(_Told, frozen=True):
    """A cosigner said no."""

    cosigner: str
    reason: str


class CodeFailed(_Told, frozen=True):
    """A code was used up without a pairing."""

    cosigner: str
    why: str
    count: int


class PeerLost(_Told, frozen=True):
    """The connection to a cosigner ended."""

    cosigner: str
    why: str


class ConnectionNotice(_Told, frozen=True):
    """Something on a connection that needs no answer; `cosigner` is None on a cosigner's own side."""

    cosigner: str | None
    notice: str


class RelayChosen(_Told, frozen=True):
    """Of several relays this one is in use now."""

    relay: str


class RelayPaused(_Told, frozen=True):
    """A relay keeps forgetting codes; the next one waits."""

    relay: str
    seconds: int


class ThresholdReached(_Told, frozen=True):
    """Enough verified signatures."""

    have: int
    need: int
    txid: str
    vsize: int


class NodeAccepts(_Told, frozen=True):
    """Our node would take the transaction."""

    vsize: int


class Broadcast(_Told, frozen=True):
    """Our node has the transaction."""

    txid: str


class OutcomeDelivered(_Told, frozen=True):
    """A cosigner knows how it ended."""

    cosigner: str
    result: str


class StillToTell(_Told, frozen=True):
    """A cosigner who does not know the outcome yet is given some seconds to come back and hear it."""

    cosigner: str
    result: str
    seconds: float


class Joined(_Told, frozen=True):
    """A cosigner's side: the code worked."""

    verifier: str


class PsbtReceived(_Told, frozen=True):
    """A cosigner's side: the whole PSBT is here."""

    ceremony: str
    size: int


class SignedBefore(_Told, frozen=True):
    """A cosigner's side: this very PSBT was signed here before; the same signatures are sent again."""

    ceremony: str


class ApprovedBefore(_Told, frozen=True):
    """This was approved before, and the signature was not kept: a device may be asked for it a second time."""

    ceremony: str


class AnswerSent(_Told, frozen=True):
    """A cosigner's side: the coordinator has the signatures."""

    signatures: int
    ceremony: str = ""


class DeclineSent(_Told, frozen=True):
    """A cosigner's side: the coordinator knows the reason."""

    reason: str


class AnswerJudged(_Told, frozen=True):
    """A cosigner's side: what the coordinator says it took."""

    accepted: int
    rejected: int
    problems: tuple[str, ...]


class OutcomeSeen(_Told, frozen=True):
    """A cosigner's side: how it ended, and what we saw ourselves.

    Attributes:
        result: What the coordinator says: broadcast, final, not-needed, cancelled, failed.
        txid: The transaction's id, when the transaction came along and is the one we approved.
        reason: The coordinator's words.
        seen: What our own node says: `mempool`, `block`, `unknown`, or `no-node`, also when there was nothing to look
            for.
        lie: The transaction is not the one we approved.
    """

    result: str
    txid: str | None
    reason: str
    seen: str
    lie: bool = False


class CoordinatorGone(_Told, frozen=True):
    """A cosigner's side: the connection ended before the outcome; it can be taken up again."""

    why: str


class Rejoining(_Told, frozen=True):
    """A cosigner's side: waiting for the coordinator, without a code."""

    ceremony: str


class Rejoined(_Told, frozen=True):
    """A cosigner's side: the coordinator is back."""

    ceremony: str


Status = (
    Started | SignedHere | CodeReady | PeerConnected | PsbtDelivered | PeerProgress | SignaturesTaken | AnswerRefused
    | PeerDeclined | CodeFailed | PeerLost | ConnectionNotice | RelayChosen | RelayPaused | ThresholdReached
    | NodeAccepts | Broadcast
    | OutcomeDelivered | StillToTell | MayReturn | Joined | PsbtReceived | SignedBefore | ApprovedBefore | AnswerSent
    | DeclineSent | AnswerJudged | OutcomeSeen | CoordinatorGone | Rejoining | Rejoined
)  # fmt: skip
