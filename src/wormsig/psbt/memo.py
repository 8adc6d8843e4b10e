"""`Memo`: what was computed from a PSBT's evidence, kept beside it. Who computes it is in the rooms of its entries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wormsig.bitcoin.sighash import Sighasher
    from wormsig.bitcoin.tx import TxOutput
    from wormsig.psbt.alike import Patterns
    from wormsig.psbt.model import Fields, PreviousOutput, UtxoProblem
    from wormsig.psbt.scripts import InputScripts
    from wormsig.psbt.templates import FinalScripts


class Memo:
    """What was computed from the evidence in one PSBT, so that no role computes it again; never part of its value.

    The evidence is the transaction and what the inputs say about spent outputs and scripts. A copy that changes any
    of it starts empty; a copy with other signatures keeps it. Answers are judged in threads that share it: whatever an
    entry is made of is the same for all of them, so most entries need no lock.
    """

    __slots__ = (
        "coins",
        "digests",
        "expressions",
        "finals",
        "key_hashes",
        "operations",
        "patterns",
        "preimages",
        "previous",
        "read",
        "reading",
        "satisfiable",
        "satisfied",
        "scripts",
        "sighasher",
        "spent",
        "verified",
    )

    def __init__(self) -> None:
        self.previous: dict[int, PreviousOutput | None] = {}
        self.coins: dict[int, TxOutput | UtxoProblem] = {}
        """What inputs spend, or why that cannot be told."""
        self.scripts: dict[int, InputScripts] = {}
        self.digests: dict[tuple[int, bytes], dict[int, bytes]] = {}
        """Sighash type and leaf -> input -> what is signed."""
        self.sighasher: Sighasher | None = None
        self.spent: tuple[TxOutput | None, ...] | None = None
        self.verified: set[tuple[int, bytes, bytes]] = set()
        """Input, public key and signature that verified."""
        self.expressions: dict[tuple[bytes, bool, tuple[tuple[bytes, bytes], ...]], object] = {}
        """Scripts that were read back as miniscript (`solver`), with the keys that they hold the hashes of."""
        self.reading = threading.Lock()
        """Held while a script is read: threads that judge answers at once share what is read, and count it once."""
        self.read = 0
        """What reading such scripts cost, in operations (`solver.MAX_OPERATIONS`)."""
        self.operations: dict[int, int] = {}
        """Identity of such an expression, which `expressions` keeps alive -> operations of its script."""
        self.satisfied = 0
        """What satisfying them costs, in operations, in sum over inputs (`solver.MAX_SATISFYING`)."""
        self.satisfiable: dict[tuple[int, int], bool] = {}
        """Input and identity of such an expression -> whether that was within the limit."""
        self.patterns: dict[int, Patterns] = {}
        """Version -> what the maps of inputs and outputs look like without signatures (`alike`).

        No evidence: they are those of the copy that was asked for first, and what differs is read the long way.
        """
        self.preimages: dict[int, tuple[Fields, dict[str, dict[bytes, bytes]]]] = {}
        """Input -> its map, and the preimages in that very map: hash function -> digest -> preimage."""
        self.key_hashes: dict[tuple[int, bool], tuple[Fields, dict[bytes, bytes]]] = {}
        """Input and whether for tapscript -> its map, and HASH160 -> key of the keys that this very map names."""
        self.finals: dict[int, tuple[Fields, FinalScripts]] = {}
        """Final scripts that were made from verified signatures, with the very map that holds them."""
