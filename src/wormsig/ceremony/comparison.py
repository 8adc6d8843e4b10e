"""What two receipts of one ceremony say of the same things: what agrees, and what does not. Pure.

Compared is every statement that both make; what only one side can know (names, times, who approved) is left alone.
Neither receipt is believed: each is also held against itself, so that a change that was made in a receipt shows even
where the other one is silent. docs/receipt-format.md says which field is compared with what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from wormsig.ceremony.receipt_checks import heads, is_true, told_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.ceremony.receipt import CoinPart, LetterPart, PairPart, Receipt, SignaturePart

Verdict = Literal["agrees", "differs", "open"]
Unit = Literal["", "sat", "vB", "bytes", "key"]
"""What the values of a statement are; a `key` is a fingerprint."""

_SAID = ("kind", "sha256", "size", "result", "txid", "reason", "accepted", "rejected", "problems", "seen", "head")
"""What receipts say of a letter."""


class Statement(msgspec.Struct, frozen=True):
    """Something that both receipts are about.

    Attributes:
        what: In a few words.
        verdict: `open`: only one of the receipts reaches so far, and nothing stands against it.
        ours: What ours says; None when it says nothing.
        theirs: What the other one says.
        why: What is wrong with it, where the two values do not show that.
        unit: Of the two values.
    """

    what: str
    verdict: Verdict
    ours: str | None = None
    theirs: str | None = None
    why: str = ""
    unit: Unit = ""


class Comparison(msgspec.Struct, frozen=True):
    """What came out.

    Attributes:
        statements: In the order of a receipt.
        pair: Our name for the other side, when the two are the ends of one pair.
    """

    statements: tuple[Statement, ...]
    pair: str | None = None

    @property
    def differing(self) -> tuple[Statement, ...]:
        """What does not agree."""
        return tuple(each for each in self.statements if each.verdict == "differs")


def compare(ours: Receipt, theirs: Receipt) -> Comparison:
    """Compare our receipt with another side's, or with another copy of our own.

    Args:
        ours: From our journal.
        theirs: From a file; may say anything.

    Returns:
        Every statement that both make.
    """
    ends = _ends(ours, theirs)
    general = (*_itself(ours, "ours"), *_itself(theirs, "the other"), *_facts(ours, theirs))
    tries = [(pair, tuple(_pair(ours, pair[0], theirs, pair[1]))) for pair in ends]
    if not tries:
        return Comparison(general)
    # A cosigner does not know the coordinator's name for them: the pair that fits best is the one.
    mine, found = min(tries, key=lambda each: (_count(each[1], "differs"), -_count(each[1], "agrees")))
    if ours.role == theirs.role == "coordinator":
        every = tuple(statement for pair, statements in tries for statement in statements)
        return Comparison((*general, *every))
    return Comparison((*general, *found), mine[0].name)


def _count(statements: tuple[Statement, ...], verdict: Verdict) -> int:
    return sum(each.verdict == verdict for each in statements)


def _ends(ours: Receipt, theirs: Receipt) -> list[tuple[PairPart, PairPart]]:
    """The pairs that may be two descriptions of one thing."""
    if ours.role != theirs.role:
        return [(mine, other) for mine in ours.pairs for other in theirs.pairs]
    if ours.role == "coordinator":
        by_name = {pair.name: pair for pair in theirs.pairs}
        return [(pair, by_name[pair.name]) for pair in ours.pairs if pair.name in by_name]
    # Two cosigners have nothing in common but the proposal, unless it is one cosigner twice.
    return [(mine, other) for mine in ours.pairs for other in theirs.pairs if _is_one_side(mine, other)]


def _is_one_side(mine: PairPart, other: PairPart) -> bool:
    words = {each.verifier for each in mine.connections} & {each.verifier for each in other.connections}
    own = {each.digest for each in mine.letters if each.kind == "contribution"}
    return bool(words) or any(each.digest in own for each in other.letters)


# -- a receipt and itself ----------------------------------------------------------------------------------------------


def _itself(receipt: Receipt, whose: str) -> Iterator[Statement]:
    """What a receipt says against itself."""
    for pair in receipt.pairs:
        yield from _pair_itself(receipt, pair, f"{whose} receipt, with {pair.name}")
    marks = [(each.input, each.pubkey) for each in receipt.signatures]
    if len(set(marks)) != len(marks):
        yield Statement(f"{whose} receipt: signatures", "differs", why="it names one twice")
    if any(each.input >= len(receipt.inputs) for each in receipt.signatures):
        yield Statement(f"{whose} receipt: signatures", "differs", why="it names one of an input that is not there")
    if receipt.role == "cosigner":
        proposals = {part.sha256 for pair in receipt.pairs for part in pair.letters if part.kind == "proposal"}
        expected = {receipt.psbt_sha256, None}
        if len(receipt.pairs) != 1 or not proposals <= expected or receipt.pairs[0].psbt_sha256 != receipt.psbt_sha256:
            yield Statement(f"{whose} receipt: PSBT", "differs", why="it names another one in its letters")
        if any(each.origin == "cosigner" for each in receipt.signatures):
            yield Statement(f"{whose} receipt: signatures", "differs", why="a cosigner's receipt has none of others")
    amounts = [each.sats for each in receipt.inputs]
    known = [sats for sats in amounts if sats is not None]
    if receipt.fee_sats is not None and len(known) == len(amounts):
        fee = sum(known) - sum(each.sats for each in receipt.outputs)
        if fee != receipt.fee_sats:
            yield Statement(f"{whose} receipt: fee", "differs", why=f"inputs minus outputs are {fee} sat")


def _pair_itself(receipt: Receipt, pair: PairPart, where: str) -> Iterator[Statement]:
    for number, part in enumerate(pair.letters):
        if not is_true(receipt.ceremony, part):
            yield Statement(f"{where}: letter {number}", "differs", why=f"this {part.kind} has another digest")
        if part.kind == "proposal" and part.sha256 not in (pair.psbt_sha256, None):
            yield Statement(f"{where}: PSBT", "differs", why="the proposal carried another one")
    if len({(part.sender, part.digest) for part in pair.letters}) != len(pair.letters):
        yield Statement(f"{where}: letters", "differs", why="it names one twice")
    if pair.transcript.head(receipt.ceremony) != pair.head:
        yield Statement(f"{where}: head", "differs", why="it is not the head of these letters")
    if heads(receipt.role, receipt.ceremony, pair.letters) != (pair.their_head, pair.heads):
        yield Statement(f"{where}: their head", "differs", why="the letters say something else of it")
    if pair.heads == "differ":
        why = "the other side told a head at the end that does not stand for these letters"
        yield Statement(f"{where}: their head", "differs", why=why)
    if receipt.role == "coordinator":
        yield from _brought(receipt, pair, where)


def _brought(receipt: Receipt, pair: PairPart, where: str) -> Iterator[Statement]:
    """Whether a cosigner brought as many signatures as the coordinator's letters say were taken."""
    answers = sum(part.kind == "contribution" for part in pair.letters)
    taken = [part.accepted for part in pair.letters if part.kind == "judged" and part.accepted is not None]
    brought = sum(each.origin == "cosigner" and each.via == pair.name for each in receipt.signatures)
    if answers and answers == len(taken) and sum(taken) != brought:
        yield Statement(f"{where}: signatures", "differs", why=f"{sum(taken)} were taken, {brought} are named")


# -- what both are about -----------------------------------------------------------------------------------------------


def _facts(ours: Receipt, theirs: Receipt) -> Iterator[Statement]:
    yield from _same("ceremony", ours.ceremony, theirs.ceremony)
    yield from _same("network", ours.network, theirs.network)
    yield from _same("wallet", _wallet_id(ours), _wallet_id(theirs))
    yield from _same("signatures needed", ours.threshold, theirs.threshold)
    # In a chain each cosigner is sent the PSBT with the signatures so far: then the pair's hash is compared alone.
    if not _has_early_signatures(ours) and not _has_early_signatures(theirs):
        yield from _same("PSBT", ours.psbt_sha256, theirs.psbt_sha256)
    yield from _same("unsigned transaction", ours.unsigned_txid, theirs.unsigned_txid)
    yield from _transaction(ours, theirs)
    mine, other = ours.final, theirs.final
    yield from _same("final transaction", mine and mine.txid, other and other.txid)
    yield from _same("final transaction with its signatures", mine and mine.wtxid, other and other.wtxid)
    yield from _same("size of the final transaction", mine and mine.vsize, other and other.vsize, "vB")


def _transaction(ours: Receipt, theirs: Receipt) -> Iterator[Statement]:
    yield from _same("number of inputs", len(ours.inputs), len(theirs.inputs))
    yield from _same("number of outputs", len(ours.outputs), len(theirs.outputs))
    mine, other = ours.wallet, theirs.wallet
    alike = mine is not None and other is not None and mine.id == other.id and mine.known and other.known
    for number, (coin, theirs_) in enumerate(zip(ours.inputs, theirs.inputs, strict=False)):
        yield from _same(f"input {number}", coin.outpoint, theirs_.outpoint)
        yield from _same(f"amount of input {number}", coin.sats, theirs_.sats, "sat")
        if alike:
            yield from _same(f"input {number} in the wallet", _place(coin), _place(theirs_))
    for number, (output, their) in enumerate(zip(ours.outputs, theirs.outputs, strict=False)):
        yield from _same(f"amount of output {number}", output.sats, their.sats, "sat")
        yield from _same(f"script of output {number}", output.script, their.script)
        yield from _same(f"address of output {number}", output.address, their.address)
        if alike:
            yield from _same(f"kind of output {number}", (output.kind, output.path), (their.kind, their.path))
    yield from _same("fee", ours.fee_sats, theirs.fee_sats, "sat")
    yield from _same("locktime", ours.locktime, theirs.locktime)


def _place(coin: CoinPart) -> tuple[str, str | None]:
    return ("yes" if coin.mine else "no", coin.path)


def _wallet_id(receipt: Receipt) -> str | None:
    return None if receipt.wallet is None else receipt.wallet.id


def _has_early_signatures(receipt: Receipt) -> bool:
    return any(each.origin == "proposal" for each in receipt.signatures)


def _same(what: str, ours: Any, theirs: Any, unit: Unit = "") -> Iterator[Statement]:  # noqa: ANN401  whatever there is
    """The statement that two values make; none where only one side says something."""
    if ours is None or theirs is None:
        return
    yield Statement(what, "agrees" if ours == theirs else "differs", _text(ours), _text(theirs), unit=unit)


def _text(value: Any) -> str | None:  # noqa: ANN401  same
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value if each is not None)
    return None if value is None else str(value)


# -- what went between the two -----------------------------------------------------------------------------------------


def _pair(ours: Receipt, mine: PairPart, theirs: Receipt, other: PairPart) -> Iterator[Statement]:
    with_whom = "" if ours.role == "cosigner" else f" with {mine.name}"
    yield from _same(f"PSBT that went over{with_whom}", mine.psbt_sha256, other.psbt_sha256)
    yield from _verifiers(ours, mine, theirs, other)
    reach = tuple(_letters(ours, mine, theirs, other))
    yield from reach
    verdicts = {each.verdict for each in reach}
    verdict: Verdict = "open" if "open" in verdicts and "differs" not in verdicts else "differs"
    if mine.head == other.head:
        verdict = "agrees"
    yield Statement(f"head of the letters{with_whom}", verdict, mine.head, other.head)
    if ours.role != theirs.role:
        yield from _told(ours, mine, theirs, other, "the head that they told us")
        yield from _told(theirs, other, ours, mine, "the head that we told them")
        yield from _signatures(ours, mine, theirs, other)
    else:
        yield from _own_signatures(ours, theirs)


def _verifiers(ours: Receipt, mine: PairPart, theirs: Receipt, other: PairPart) -> Iterator[Statement]:
    """Each connection that the cosigner knows of, the coordinator knows too (who may know of more)."""
    known = {each.verifier for each in mine.connections}
    named = {each.verifier for each in other.connections}
    if not known or not named:
        return
    if ours.role == theirs.role:
        fits = known == named
    else:
        fits = named <= known if ours.role == "coordinator" else known <= named
    yield Statement("verifier", "agrees" if fits else "differs", " | ".join(sorted(known)), " | ".join(sorted(named)))


def _letters(ours: Receipt, mine: PairPart, theirs: Receipt, other: PairPart) -> Iterator[Statement]:
    for sender in ("coordinator", "cosigner"):
        sent = [part for part in mine.letters if part.sender == sender]
        named = [part for part in other.letters if part.sender == sender]
        for number, (part, said) in enumerate(zip(sent, named, strict=False)):
            what = f"letter {number + 1} of the {sender} ({part.kind})"
            yield from _same(what, part.digest, said.digest)
            if part.digest == said.digest:
                for name in _SAID:
                    unit: Unit = "bytes" if name == "size" else ""
                    yield from _differing(f"{what}, {name}", getattr(part, name), getattr(said, name), unit)
        if len(sent) > len(named):
            yield _beyond(ours, mine, theirs, sent[len(named)])
        elif len(named) > len(sent):
            yield _beyond(theirs, other, ours, named[len(sent)])


def _differing(what: str, ours: Any, theirs: Any, unit: Unit) -> Iterator[Statement]:  # noqa: ANN401  same
    yield from (each for each in _same(what, ours, theirs, unit) if each.verdict == "differs")


def _beyond(longer: Receipt, pair: PairPart, shorter: Receipt, part: LetterPart) -> Statement:
    """A letter that one receipt has and the other has not: either it is from an earlier time, or something is wrong."""
    what = f"{part.kind} that only the {longer.role}'s receipt has"
    if longer.role == shorter.role:
        what = f"{part.kind} that only one receipt has"
    early = shorter.made_at <= part.at
    # Its sender need not know that it arrived, as long as nothing came of it.
    rest = pair.letters[pair.letters.index(part) + 1 :]
    unacknowledged = part.sender == shorter.role != longer.role and not rest
    if early:
        return Statement(what, "open", why=f"from {part.at}; the other receipt was made at {shorter.made_at}")
    if unacknowledged:
        return Statement(what, "open", why=f"from {part.at}; the {shorter.role} did not learn that it arrived")
    return Statement(what, "differs", why=f"from {part.at}; the other receipt was made at {shorter.made_at}")


def _told(knower: Receipt, kept: PairPart, teller: Receipt, told: PairPart, what: str) -> Iterator[Statement]:
    """Whether the letters in the teller's receipt give the head that the teller told at the end."""
    last = told_head(knower.role, kept.letters)
    if last is None or last[1].head is None:
        return
    head = last[1].head
    if told.transcript.covered_by(teller.ceremony, head) is not None:
        yield Statement(what, "agrees", head, head)
    elif teller.made_at <= last[1].at:
        yield Statement(what, "open", why=f"it was told at {last[1].at}, and that receipt made at {teller.made_at}")
    else:
        yield Statement(what, "differs", why="the letters in the teller's receipt do not give it")


def _signatures(ours: Receipt, mine: PairPart, theirs: Receipt, other: PairPart) -> Iterator[Statement]:
    """What the cosigner says was signed there, and what the coordinator says came from there."""
    we_coordinate = ours.role == "coordinator"
    coordinator, cosigner = (ours, theirs) if we_coordinate else (theirs, ours)
    pair, back = (mine, other) if we_coordinate else (other, mine)
    signed = {(each.input, each.pubkey): each for each in cosigner.signatures if each.origin == "here"}
    held = {(each.input, each.pubkey): each for each in coordinator.signatures}
    brought = {mark: each for mark, each in held.items() if each.origin == "cosigner" and each.via == pair.name}
    for mark, each in brought.items():
        if mark not in signed and cosigner.made_at > each.at:
            yield Statement(_mark(each), "differs", why="the coordinator has it from there, and the cosigner does not")
    all_taken = all(part.rejected == 0 for part in pair.letters if part.kind == "judged")
    judged = [part.digest for part in pair.letters if part.kind == "judged"]
    arrived = bool(judged) and any(part.digest in judged for part in back.letters)
    for mark, each in signed.items():
        there = held.get(mark)
        if there is not None:
            same = each.fingerprint == there.fingerprint or None in (each.fingerprint, there.fingerprint)
            verdict: Verdict = "agrees" if same else "differs"
            one, two = (there, each) if we_coordinate else (each, there)
            yield Statement(_mark(one), verdict, one.fingerprint, two.fingerprint, unit="key")
        elif arrived and all_taken:
            yield Statement(_mark(each), "differs", why="the cosigner made it, and the coordinator does not have it")


def _own_signatures(ours: Receipt, theirs: Receipt) -> Iterator[Statement]:
    """Two receipts of one side."""
    one = {(each.input, each.pubkey, each.fingerprint, each.origin, each.via) for each in ours.signatures}
    two = {(each.input, each.pubkey, each.fingerprint, each.origin, each.via) for each in theirs.signatures}
    if one == two or ours.phase == theirs.phase:
        yield Statement("signatures", "agrees" if one == two else "differs", str(len(one)), str(len(two)))
    else:
        fits = one <= two or two <= one
        yield Statement("signatures", "open" if fits else "differs", str(len(one)), str(len(two)))


def _mark(part: SignaturePart) -> str:
    who = part.fingerprint or part.pubkey[:8]
    return f"signature of {f'{part.name} ' if part.name else ''}[{who}] on input {part.input}"
