"""What is kept beside a PSBT, and threads that ask for it at once: answers of several people are judged in threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from support.taproot import miniscript_coin, spend
from wormsig.bitcoin.script import operations
from wormsig.psbt import miniscript, solver

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from wormsig.psbt.miniscript import Expression


def test_threads_that_read_a_script_at_once_get_one_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    coin = miniscript_coin(0, "or_d(multi(2,@a,@b,@c),and_v(v:pk(@d),older(144)))")
    psbt, script = spend([coin]), coin.witness
    assert script is not None
    read = miniscript.read

    def slowly(script: bytes, keys: Mapping[bytes, bytes], *, tapscript: bool) -> Expression | None:
        time.sleep(0.05)  # as long as a large script takes
        return read(script, keys, tapscript=tapscript)

    monkeypatch.setattr(miniscript, "read", slowly)
    count = len(operations(script) or ())
    monkeypatch.setattr(solver, "MAX_OPERATIONS", count + count**2 // solver._PER_PAIR + solver._PER_SCRIPT)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(solver.expression, psbt, 0, script, tapscript=False) for _ in range(4)]
        found = [each.result() for each in asked]
    assert found[0] is not None  # it was read once, and counted once
    # What it costs is looked up by its identity, which nothing else can have while the memo keeps it.
    assert [each is found[0] for each in (*found, *psbt.memo.expressions.values())] == [True] * 5
    assert psbt.memo.operations[id(found[0])] == count
