"""The fuzz target without the fuzzer: the corpus and mutations of it; the long form runs the fuzzer itself."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wormsig.psbt.codec import parse, serialize

if TYPE_CHECKING:
    from types import ModuleType

FUZZ = Path(__file__).parent.parent.parent / "fuzz"
A_MILLION = 1_000_000


@pytest.fixture(scope="module")
def target() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_target", FUZZ / "target.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_seed_goes_through_every_role(target: ModuleType) -> None:
    for seed in target.seeds():
        assert target.one_input(seed)


def test_mutations_end_in_a_refusal_or_keep_the_promises(target: ModuleType) -> None:
    seeds = target.seeds()
    parsed = [target.one_input(target.mutated(seeds[n % len(seeds)], n, seeds)) for n in range(600)]
    assert 80 < sum(parsed) < 520


def test_a_broken_promise_and_any_other_exception_are_findings(
    target: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, other = (serialize(psbt) for psbt in target.MINE)
    monkeypatch.setattr(target, "parse", lambda _, limit, like=None: parse(raw, limit=limit, like=like))
    with pytest.raises(AssertionError):
        target.one_input(other)
    monkeypatch.setattr(target, "parse", lambda _, limit: limit // 0)
    with pytest.raises(ZeroDivisionError):
        target.one_input(raw)


@pytest.mark.long
def test_a_million_executions(tmp_path: Path) -> None:
    """Needs the dependency group `fuzz`; `make test-long` installs it."""
    found = tmp_path / "found"
    found.mkdir()
    command = [sys.executable, str(FUZZ / "fuzz_psbt.py"), str(found), f"-runs={A_MILLION}", "-print_final_stats=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert f"stat::number_of_executed_units: {A_MILLION}" in done.stderr
    assert not list(tmp_path.glob("crash-*"))
