"""A second judge of version 0: where bitcoind's decodepsbt differs from us, the difference is explained."""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.differences import DIFFERENCES, explained
from support.mutations import mutate
from support.psbts import coins, spend
from wormsig.errors import WormsigError
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.node.regtest import RegtestNode

HERE = Path(__file__).parent
CASES = json.loads((HERE / "psbt-v0.json").read_text())["cases"]
COINS = coins("wsh", "sh-wsh", "sh", "wpkh", "pkh")
BATCH = 2_000


def our_refusal(raw: bytes) -> str | None:
    try:
        parse(raw)
    except WormsigError as error:
        return f"{getattr(error, 'field', None)}: {getattr(error, 'reason', error.message)}"
    return None


def compare(node: RegtestNode, psbts: Sequence[bytes]) -> Counter[str]:
    """How often both agreed, and how often each class of difference was seen; an unexplained one fails."""
    seen: Counter[str] = Counter()
    answers = node.rpc.batch([("decodepsbt", [base64.b64encode(raw).decode()]) for raw in psbts])
    for raw, answer in zip(psbts, answers, strict=True):
        ours = our_refusal(raw)
        theirs = str(answer) if isinstance(answer, Exception) else None
        if (ours is None) == (theirs is None):
            seen["agreed"] += 1
            continue
        known = explained("wormsig", ours) if ours is not None else explained("bitcoind", str(theirs))
        assert known is not None, (ours, theirs, base64.b64encode(raw).decode())
        seen[known.what] += 1
    return seen


def starts() -> list[bytes]:
    """Everything that is well-formed: of our vectors, and of every step of a transaction of five script types."""
    unsigned = spend(COINS)
    signed = sign_inputs(unsigned, {i: each.secrets(*range(min(2, len(each.keys)))) for i, each in enumerate(COINS)})
    steps = [serialize(psbt) for psbt in (unsigned, signed, finalize(verify(signed)), spend(COINS[:2], previous=False))]
    return steps + [base64.b64decode(case["psbt"]) for case in CASES if case["expect"] != "invalid"]


def mutated(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)  # noqa: S311  # repeatable, and no secret
    known = starts()
    return [mutate(rng.choice(known), rng, known) for _ in range(count)]


def test_on_our_vectors(node: RegtestNode) -> None:
    seen = compare(node, [base64.b64decode(case["psbt"]) for case in CASES])
    assert seen["agreed"] > 200
    assert set(seen) > {"agreed", "version 2 fields in version 0"}


def test_on_generated_and_mutated_psbts(node: RegtestNode) -> None:
    assert compare(node, starts()).total() > 60
    seen = compare(node, mutated(0, BATCH))
    assert seen["agreed"] > BATCH * 0.9


@pytest.mark.long
def test_on_a_great_many(node: RegtestNode) -> None:
    seen: Counter[str] = Counter()
    for seed in range(1, 101):
        seen += compare(node, mutated(seed, BATCH))
    print("\n".join(f"{count:8} {what}" for what, count in seen.most_common()))  # noqa: T201  # for docs/psbt-conformance.md
    assert seen.total() == 100 * BATCH


def test_the_page_shows_the_table() -> None:
    page = (HERE.parent.parent / "docs" / "psbt-conformance.md").read_text()
    rows = re.findall(r"^\| (wormsig|bitcoind) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(each.stricter, each.what, each.why) for each in DIFFERENCES]
