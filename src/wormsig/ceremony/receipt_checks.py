"""Whether a receipt fits itself: letters and their digests, heads and the letters that they stand for. Pure.

What a receipt is stands in `receipt`; what two of them say of each other, in `comparison`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.ceremony import messages, wire
from wormsig.ceremony.receipt import LetterPart, transcript_of

if TYPE_CHECKING:
    from wormsig.ceremony.messages import Role
    from wormsig.ceremony.receipt import Heads


def rebuilt(ceremony: str, part: LetterPart) -> messages.Letter | None:
    """The letter itself, when a receipt says everything that it said: then its digest can be checked.

    Args:
        ceremony: The ceremony's id.
        part: What the receipt says of it.

    Returns:
        The letter; None where something is missing (of a proposal there always is).

    Raises:
        ValueError: There can be no such letter.
    """
    obj = None if part.sha256 is None or part.size is None else messages.ObjectRef(part.sha256, part.size)
    match part:
        case LetterPart(kind="contribution") if obj is not None:
            return messages.Contribution(ceremony, obj, "psbt")
        case LetterPart(kind="decline", reason=str(reason)):
            return messages.Decline(ceremony, reason)
        case LetterPart(kind="judged", accepted=int(accepted), rejected=int(rejected), problems=tuple(problems)):
            return messages.Judged(ceremony, accepted, rejected, problems)
        case LetterPart(kind="outcome", result=str(result), reason=str(reason), head=str(head)):
            return messages.Outcome(ceremony, result, part.txid, obj, reason, head)
        case LetterPart(kind="farewell", seen=str(seen), head=str(head)):
            return messages.Farewell(ceremony, seen, head)
        case _:
            return None


def is_true(ceremony: str, part: LetterPart) -> bool:
    """Whether what a receipt says of a letter gives the letter's digest, as far as that can be told."""
    try:
        letter = rebuilt(ceremony, part)
    except ValueError:
        return False
    return letter is None or wire.digest(letter) == part.digest


def is_whole(ceremony: str, part: LetterPart) -> bool:
    """Whether all that a letter says is there, and gives its digest. Of PSBTs that went over the hash is enough."""
    if part.kind in ("proposal", "contribution"):
        return is_true(ceremony, part)
    return is_true(ceremony, part) and rebuilt(ceremony, part) is not None


def told_head(role: Role, letters: tuple[LetterPart, ...]) -> tuple[int, LetterPart] | None:
    """The last letter with which the other side told its head.

    Args:
        role: Whose receipt it is.
        letters: Between the two.

    Returns:
        Its place, and the letter; None when no head was told.
    """
    kind = "farewell" if role == "coordinator" else "outcome"
    told = [(place, each) for place, each in enumerate(letters) if each.kind == kind and each.head is not None]
    return told[-1] if told else None


def heads(role: Role, ceremony: str, letters: tuple[LetterPart, ...]) -> tuple[str | None, Heads]:
    """The head that the other side told, and how it fits what is known here.

    Args:
        role: Whose receipt it is.
        ceremony: The ceremony's id.
        letters: Between the two.

    Returns:
        Their head, and the verdict.
    """
    told = told_head(role, letters)
    if told is None:
        return None, "none"
    place, letter = told
    head = letter.head
    assert head is not None  # noqa: S101  `told_head` looked
    covered = transcript_of(letters).covered_by(ceremony, head)
    if covered is None:
        return head, "differ"
    before = transcript_of(letters[:place])
    known = len(before.sent_by("coordinator")), len(before.sent_by("cosigner"))
    return head, "agree" if covered[0] >= known[0] and covered[1] >= known[1] else "earlier"
