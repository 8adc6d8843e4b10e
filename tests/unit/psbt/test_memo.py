"""What is kept beside a PSBT, and threads that ask for it at once: answers of several people are judged in threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from support.taproot import miniscript_coin, spend
from wormsig.psbt import miniscript, solver

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from wormsig.psbt.miniscript import Expression


def test_threads_that_read_a_script_at_once_get_one_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    coin = miniscript_coin(0, "or_d(multi(2,@a,@b,@c),and_v(v:pk(@d),older(144)))")
    psbt, script = spend([coin]), coin.witness
    assert script is not None
    together, read = threading.Barrier(2, timeout=20), miniscript.read

    def at_once(script: bytes, keys: Mapping[bytes, bytes], *, tapscript: bool) -> Expression | None:
        together.wait()  # neither has looked up what the other one finds
        return read(script, keys, tapscript=tapscript)

    monkeypatch.setattr(miniscript, "read", at_once)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(solver.expression, psbt, 0, script, tapscript=False) for _ in range(2)]
        first, second = (each.result() for each in asked)
    assert first is not None
    # Limits are counted by its identity, which nothing else can have while the memo keeps it.
    assert first is second is next(iter(psbt.memo.expressions.values()))
    assert psbt.memo.operations[id(first)] > 0
