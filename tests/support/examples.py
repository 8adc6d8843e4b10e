"""How many examples a property test tries: few in every run, many where `make test-long` asks for them."""

from __future__ import annotations

import os

FACTOR = "WORMSIG_EXAMPLES"
"""Environment variable: how many times the usual number."""


def examples(usual: int) -> int:
    """The number of examples to try.

    Args:
        usual: In an ordinary run.
    """
    return max(1, round(usual * float(os.environ.get(FACTOR, "1"))))
