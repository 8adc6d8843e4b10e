"""The one table of caps on what comes from outside.

docs/limits.md says the same in words. Each cap is checked before anything of that size is allocated.
"""

from __future__ import annotations

from typing import Final

MAX_FILE_PSBT: Final = 32 << 20
"""Bytes of a PSBT from a file."""

MAX_PEER_PSBT: Final = 8 << 20
"""Bytes of a PSBT from a peer."""

MAX_MESSAGE: Final = 100_000
"""Bytes of any other message from a peer."""

MAX_TEXT: Final = 500
"""Characters of a reason, a label or another free text from a peer."""

MAX_INPUTS: Final = 25_000
"""Inputs of a transaction; a block of 4,000,000 weight units holds at most 24,390."""

MAX_OUTPUTS: Final = 112_000
"""Outputs of a transaction; a block holds at most 111,111."""

MAX_MAP_FIELDS: Final = 10_000
"""Fields of one map; twenty cosigners need about fifty."""

MAX_FIELDS: Final = 1_000_000
"""Fields of all maps together."""

MAX_TAP_DEPTH: Final = 128
"""Depth of a taproot tree (BIP341)."""
