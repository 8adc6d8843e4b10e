from __future__ import annotations

import re
from pathlib import Path

from wormsig.psbt import limits

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"


def test_the_page_says_what_the_code_says() -> None:
    in_code = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    on_page = {name: int(value) for name, value in re.findall(r"\| `(MAX_\w+)` \| (\d+) \|", PAGE.read_text())}
    assert on_page == in_code
