"""docs/psbt-conformance.md names the tests that hold each promise: they are there, and every promise has one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs/psbt-conformance.md").read_text(encoding="utf-8")
    rows = page.partition("## What holds each promise")[2].splitlines()
    promises = [row for row in rows if row.startswith("| ") and not row.startswith("| promise")]
    assert len(promises) > 20
    for row in promises:
        named = re.findall(r"`(tests/[a-z0-9_/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for path, test in named:
            text = (ROOT / path).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in text, (path, test)
