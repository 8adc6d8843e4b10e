"""What is fuzzed: bytes that a stranger sends, through the parser and every role that does not ask a person first.

One call a PSBT. Nothing but a `WormsigError` may come out of the code under test; whatever else is asserted here is a
promise of the documentation. It needs no fuzzer: the tests call it too.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support import taproot  # noqa: E402
from support.mutations import mutate  # noqa: E402  # after the path to it
from support.psbts import coins, spend  # noqa: E402
from wormsig.bitcoin.sighash import SIGHASH_ALL  # noqa: E402
from wormsig.errors import WormsigError  # noqa: E402
from wormsig.psbt.codec import from_any, parse, serialize  # noqa: E402
from wormsig.psbt.combiner import combine, with_signatures  # noqa: E402
from wormsig.psbt.contribution import extract, extract_transaction  # noqa: E402
from wormsig.psbt.convert import to_version_0, to_version_2  # noqa: E402
from wormsig.psbt.extractor import extract as transaction_of  # noqa: E402
from wormsig.psbt.finalizer import finalize, missing  # noqa: E402
from wormsig.psbt.finals import check_finals  # noqa: E402
from wormsig.psbt.model import PARTIAL_SIG, TAP_KEY_SIG, WITNESS_UTXO  # noqa: E402
from wormsig.psbt.modifiable import modifiable  # noqa: E402
from wormsig.psbt.signer import sign_inputs  # noqa: E402
from wormsig.psbt.size import estimated_weight  # noqa: E402
from wormsig.psbt.verify import check_signatures, verify  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wormsig.psbt.model import Psbt
    from wormsig.psbt.verify import Verified

Result = TypeVar("Result")

LIMIT = 1 << 16
"""Bytes that are looked at: what larger ones could do beyond time is tested elsewhere."""

CORPUS = HERE / "corpus"
ECDSA = coins("wsh", "sh-wsh", "sh", "wpkh", "pkh")
OTHER = [
    taproot.taproot_coin(0, "a"),
    taproot.taproot_coin(1, None, ((2, "abc"), "and_v(v:pk(@d),older(10))")),
    taproot.taproot_coin(2, "e", ("and_v(v:multi_a(2,@a,@b),sha256(H))",)),
    taproot.miniscript_coin(3, "or_d(multi(2,@a,@b,@c),and_v(v:pkh(@d),older(10)))"),
    taproot.miniscript_coin(4, "and_v(v:sha256(H),multi(1,@a,@b))", nested=True),
]
MINE = (spend(ECDSA), taproot.spend(OTHER, sequence=10))
"""The coordinator's own PSBTs, that whatever arrives is an answer to: templates, then taproot and miniscript."""
VERIFIED = tuple(map(verify, MINE))
NOTHING_BUT_SIGNATURES = frozenset({0x02, 0x0A, 0x0B, 0x0C, 0x0D, 0x13, 0x14, 0x1B, 0x1C})
NAMELESS = MINE[1].with_input(0, {WITNESS_UTXO: MINE[1].inputs[0][WITNESS_UTXO]})
"""The second without anything of its first input that shows how it is spent."""
KEYS = (
    {index: each.secrets(0) for index, each in enumerate(ECDSA)},
    {index: each.secrets("a") for index, each in enumerate(OTHER)},
)
_SIGNED = sign_inputs(MINE[1], KEYS[1])
_SIGNATURE = _SIGNED.inputs[0][TAP_KEY_SIG]
NAMELESS_SIGNED = with_signatures(NAMELESS, [(0, OTHER[0].output.script[2:], _SIGNATURE)])
BOTH_KINDS = NAMELESS_SIGNED.with_input(
    0, NAMELESS_SIGNED.inputs[0] | {key: value for key, value in _SIGNED.inputs[3].items() if key[0] == PARTIAL_SIG}
)
"""With an ECDSA signature of another input as well."""
_WHOLE = parse(serialize(MINE[1]))
SENT = ((NAMELESS, NAMELESS_SIGNED), (BOTH_KINDS, BOTH_KINDS), (_WHOLE, sign_inputs(_WHOLE, KEYS[1])))
"""What else may be sent, and the copy of it, signed by now, that an answer is read by and never by another one: what is
known of the one that was read by first is known of all."""
ANY_TYPE = frozenset(range(256))


def attempt(work: Callable[[], Result]) -> Result | None:
    """What work gives, or None when it is refused; any other exception is a finding."""
    try:
        return work()
    except WormsigError:
        return None


def one_input(data: bytes) -> bool:
    """Everything once.

    Args:
        data: What arrived.

    Returns:
        Whether it parsed.
    """
    raw = attempt(lambda: from_any(data, limit=LIMIT))
    if raw is None:
        return False
    psbt = attempt(lambda: parse(raw, limit=LIMIT))
    returned = [attempt(lambda mine=mine: parse(raw, limit=LIMIT, like=mine)) for mine in MINE]
    assert returned == [psbt] * len(MINE)
    if psbt is None:
        return False
    assert serialize(psbt) == raw
    asked = _question(psbt)
    _read(psbt)
    _sign(psbt, KEYS[asked])
    _finish(psbt, MINE[asked])
    _answer(psbt, returned[asked], VERIFIED[asked])
    _brought(psbt, raw)
    _convert(psbt)
    return True


def _question(psbt: Psbt) -> int:
    """Which of the coordinator's PSBTs it is most likely an answer to."""
    spent = {psbt.outpoint(index) for index in range(len(psbt.inputs))}
    return int(any(txin.outpoint in spent for txin in MINE[1].tx.inputs))


def _read(psbt: Psbt) -> None:
    for allowed in (frozenset({SIGHASH_ALL}), ANY_TYPE):
        for check in attempt(lambda allowed=allowed: check_signatures(psbt, allowed=allowed)) or ():
            assert check.valid or check.problem is not None
    attempt(lambda: check_finals(psbt))
    attempt(lambda: estimated_weight(psbt))


def _sign(psbt: Psbt, keys: Mapping[int, Mapping[bytes, bytes]]) -> None:
    """Sign with keys that the seeds know; what is signed verifies."""
    for index, mine in keys.items():
        signed = attempt(lambda index=index, mine=mine: sign_inputs(psbt, {index: mine}))
        if signed is not None:
            assert parse(serialize(signed)) == signed
            assert signed.tx == psbt.tx
            assert any(check.valid for check in check_signatures(signed) if check.input == index)


def _finish(psbt: Psbt, mine: Psbt) -> None:
    verified = attempt(lambda: verify(psbt, drop=True))
    if verified is None:
        return
    attempt(lambda: missing(verified))
    final = attempt(lambda: finalize(verified))
    for made in (psbt, final):
        if made is None:
            continue
        tx = attempt(lambda made=made: transaction_of(made))
        if tx is not None:
            assert (tx.outputs, tx.locktime, tx.version) == (psbt.tx.outputs, psbt.tx.locktime, psbt.tx.version)
            attempt(lambda tx=tx: extract_transaction(mine, tx))


def _answer(psbt: Psbt, returned: Psbt, verified: Verified) -> None:
    """As an answer to the fixed PSBT: nothing but signatures that verify enters (docs/threat-model.md, R1 to R7)."""
    mine = verified.psbt
    contribution = attempt(lambda: extract(mine, psbt))
    assert attempt(lambda: extract(mine, returned)) == contribution
    if contribution is None:
        return
    combined = combine(verified, [contribution]).psbt
    assert (combined.global_map, combined.outputs, combined.tx) == (mine.global_map, mine.outputs, mine.tx)
    for ours, theirs in zip(mine.inputs, combined.inputs, strict=True):
        assert ours.items() <= theirs.items()
        assert all(key[0] in NOTHING_BUT_SIGNATURES for key in theirs.keys() - ours.keys())
    assert all(check.valid for check in check_signatures(parse(serialize(combined))))


def _brought(psbt: Psbt, raw: bytes) -> None:
    """What an answer brings does not depend on whether it is read by what was sent."""
    for mine, like in SENT:
        returned = attempt(lambda like=like: parse(raw, limit=LIMIT, like=like))
        assert returned == psbt
        both = [attempt(lambda mine=mine, each=each: extract(mine, each)) for each in (psbt, returned)]
        assert both[0] == both[1]


def _convert(psbt: Psbt) -> None:
    down = attempt(lambda: to_version_0(psbt, fixed=True))
    if down is None:
        assert psbt.transaction is None
        return
    up = to_version_2(down)
    assert down.tx == up.tx == psbt.tx
    assert not modifiable(down)
    assert to_version_2(to_version_0(up, fixed=True)) == up
    for made in (down, up):
        assert parse(serialize(made)) == made


def seeds() -> list[bytes]:
    """The committed corpus, in order of names."""
    return [file.read_bytes() for file in sorted(CORPUS.iterdir())]


def mutated(data: bytes, seed: int, known: list[bytes]) -> bytes:
    """A PSBT with something changed, field by field; the same seed changes the same."""
    return mutate(data, random.Random(seed), known)  # noqa: S311  # repeatable, and no secret
