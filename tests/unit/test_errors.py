"""errors.py: every failure has an exit code that docs/exit-codes.md explains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wormsig import errors
from wormsig.errors import ExitCode, Fault, PsbtError, WormsigError

ROOT = Path(__file__).resolve().parents[2]


def tree(base=WormsigError):
    """The classes of errors.py; a room may refine one of them, and a test that ran before may have loaded it."""
    ours = [child for child in base.__subclasses__() if child.__module__ == errors.__name__]
    return [found for child in ours for found in (child, *tree(child))]


def documented_rows():
    text = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_of_its_own_that_is_neither_done_nor_bug(kind):
    assert isinstance(kind.exit_code, ExitCode)
    assert kind.exit_code not in (ExitCode.DONE, ExitCode.BUG)
    assert isinstance(kind.default_fault, Fault)
    assert kind.__doc__


def test_an_unforeseen_kind_counts_as_a_bug():
    assert WormsigError("x").exit_code is ExitCode.BUG


def test_exit_codes_are_given_in_errors_py_alone():
    # A room may refine an error with what it knows; what a script sees of it is decided in one place.
    elsewhere = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        if path.name != "errors.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"    (exit_code|resumable|default_fault)\b.*=", line)
    ]
    assert elsewhere == []


def test_the_numbers_are_those_that_scripts_rely_on():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "BUG": 1,
        "USAGE": 2,
        "INPUT": 3,
        "REFUSED": 4,
        "PEER": 5,
        "TRANSPORT": 6,
        "THRESHOLD": 7,
        "NODE": 8,
        "STORAGE": 9,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_what_can_be_resumed():
    resumable = {kind.exit_code for kind in tree() if kind.resumable}
    assert resumable == {ExitCode.TRANSPORT, ExitCode.THRESHOLD, ExitCode.NODE, ExitCode.INTERRUPTED}


def test_fault_and_hint_of_one_error_override_the_class():
    error = errors.TransportError("gone", hint="try again", fault=Fault.PEER)
    assert (error.message, error.hint, error.fault) == ("gone", "try again", Fault.PEER)
    assert errors.TransportError("gone").fault is Fault.NETWORK


def test_a_psbt_error_names_the_place():
    error = PsbtError("33 bytes expected, 32 found", where="input 3", field="PSBT_IN_PARTIAL_SIG")
    assert str(error) == "input 3, PSBT_IN_PARTIAL_SIG: 33 bytes expected, 32 found"
    assert error.reason == "33 bytes expected, 32 found"
    assert str(PsbtError("no magic")) == "no magic"


def test_the_table_in_the_docs_has_every_code_and_its_resumability():
    rows = {int(row[0]): row for row in documented_rows() if row[0].isdigit()}
    assert set(rows) == {int(code) for code in ExitCode}
    assert {code for code, row in rows.items() if row[-1].startswith("yes")} == {6, 7, 8, 130, 143}


def test_the_table_in_the_docs_has_every_error():
    rows = {row[0].strip("`"): row for row in documented_rows() if re.fullmatch(r"`\w+Error`", row[0])}
    assert {kind.__name__: int(kind.exit_code) for kind in tree()} == {name: int(row[1]) for name, row in rows.items()}
