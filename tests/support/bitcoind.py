"""The real bitcoind of the tests: `wormsig.node.regtest`, which the demo uses as well.

`$BITCOIND`, else a bitcoind on PATH, else the one that scripts/get-bitcoind.sh fetched; a test fails, never skips,
when there is none.
"""

from __future__ import annotations

from wormsig.node.regtest import Funding, RegtestNode, find_bitcoind

__all__ = ["Funding", "RegtestNode", "find_bitcoind"]
