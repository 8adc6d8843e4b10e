"""What an answer is worth: what a cosigner sent is read, verified on the coordinator's own copy, and becomes an event.

A returned PSBT is evidence, not a replacement: only signatures that verify on that copy are taken, whoever sent them.
Whether an answer is heard at all, and what follows from the event, stands in `coordinator`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from wormsig.bitcoin.tx import parse_transaction
from wormsig.ceremony.coordinator_events import Contributed, Misbehaved, NothingNew
from wormsig.ceremony.events import HeldPreimage, HeldSignature
from wormsig.errors import PsbtError, WormsigError
from wormsig.psbt import codec, contribution
from wormsig.psbt.limits import MAX_FILE_PSBT, MAX_PEER_PSBT, MAX_TEXT

if TYPE_CHECKING:
    from wormsig.ceremony.coordinator_events import CoordinatorEvent
    from wormsig.ceremony.coordinator_state import CoordinatorState
    from wormsig.psbt.verify import SignatureCheck

MAX_NAMED = 16
"""Problems of one answer that are named; more are counted only."""


class Answer(msgspec.Struct, frozen=True):
    """A cosigner's answer arrived whole (None: signed here, or from a file)."""

    cosigner: str | None
    data: bytes
    form: Literal["psbt", "transaction"] = "psbt"
    letter: str = ""


def judged(state: CoordinatorState, answer: Answer) -> tuple[CoordinatorEvent, ...]:
    """What an answer leads to.

    Args:
        state: The state; its copy is what signatures are verified on.
        answer: The answer.

    Returns:
        One event; none when an answer of our own, or from a file, brings nothing new.

    Raises:
        WormsigError: An answer that was signed here or read from a file is bad; a cosigner's fault is an event.
    """
    try:
        taken = _taken(state, answer)
    except WormsigError as error:
        if answer.cosigner is None:
            raise
        return (Misbehaved(answer.cosigner, error.message[:MAX_TEXT], answer.letter),)
    return _event(answer, taken)


def _taken(state: CoordinatorState, answer: Answer) -> contribution.Contribution:
    if answer.form == "transaction":
        return contribution.extract_transaction(state.copy, parse_transaction(answer.data), allowed=state.allowed)
    limit = MAX_FILE_PSBT if answer.cosigner is None else MAX_PEER_PSBT
    return contribution.extract(
        state.copy, codec.parse(answer.data, limit=limit, like=state.copy), allowed=state.allowed
    )


def _event(answer: Answer, taken: contribution.Contribution) -> tuple[CoordinatorEvent, ...]:
    """The event of an answer that was read and verified."""
    problems = [_rejection(check) for check in taken.rejected[:MAX_NAMED]]
    problems += [f"input {i}: final scripts of a kind not checked here" for i in taken.unchecked_finals[:MAX_NAMED]]
    named = tuple(problems[:MAX_NAMED])
    ignored = tuple(f"{one.where}: {one.field} {one.what}"[:MAX_TEXT] for one in taken.differences[:MAX_NAMED])
    rejected = len(taken.rejected) + len(taken.unchecked_finals)
    digest = hashlib.sha256(answer.data).hexdigest()
    who = answer.cosigner
    if taken.signatures or taken.preimages:
        signatures = tuple(HeldSignature(*one) for one in taken.signatures)
        preimages = tuple(HeldPreimage(*one) for one in taken.preimages)
        return (Contributed(who, signatures, rejected, named, ignored, digest, preimages, answer.letter),)
    if taken.already_known:
        return () if who is None else (NothingNew(who, rejected, named, ignored, digest, answer.letter),)
    text = named[0] if named else "the answer brought no signature of this wallet"
    if who is None:
        raise PsbtError(text)
    return (Misbehaved(who, text, answer.letter),)


def _rejection(check: SignatureCheck) -> str:
    why = check.problem.value if check.problem else "not valid"
    key = f" under {check.pubkey.hex()[:16]}…" if check.pubkey else ""
    return f"input {check.input}: signature{key}: {why}"
