"""A second opinion on final transactions without a node: btclib's script interpreter, with Core's relay rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btclib.script.engine import verify_input
from btclib.script.engine.flags import ScriptFlag
from btclib.script.script_pub_key import ScriptPubKey
from btclib.tx.tx import Tx
from btclib.tx.tx_out import TxOut

from wormsig.psbt.extractor import extract
from wormsig.psbt.model import spent_outputs

if TYPE_CHECKING:
    from wormsig.psbt.model import Psbt

EVERY_RULE = ~ScriptFlag(0) & ~ScriptFlag.CONST_SCRIPTCODE


def check_scripts(final: Psbt) -> None:
    """Run the script of every input of a finalized PSBT.

    Raises:
        btclib.exceptions.BTClibValueError: One fails.
    """
    tx = Tx.parse(extract(final).serialize())
    spent = [TxOut(output.sats, ScriptPubKey(output.script)) for output in spent_outputs(final) if output is not None]
    assert len(spent) == len(final.inputs)
    for index in range(len(spent)):
        verify_input(spent, tx, index, EVERY_RULE)
