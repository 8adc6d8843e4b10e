"""PSBTs that spend from a wallet, made without a node, for tests that need something to sign."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from wormsig.bitcoin.tx import OutPoint, Transaction, TxInput, TxOutput
from wormsig.psbt import creator, updater
from wormsig.review.approve import approve
from wormsig.review.context import ReviewContext
from wormsig.review.review import review
from wormsig.wallet.derive import Deriver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wormsig.psbt.model import Psbt
    from wormsig.review.approve import Approved
    from wormsig.wallet.model import Wallet

COIN = 1_000_000
"""Satoshis of each coin that is spent."""
PAYEE = b"\x00\x14" + b"\x42" * 20


def funding(script: bytes, salt: str, sats: int = COIN) -> Transaction:
    """A transaction whose output 0 pays a script; its own input is invented."""
    txid = hashlib.sha256(salt.encode()).digest()
    return Transaction(2, (TxInput(OutPoint(txid, 0), b"", 0xFFFFFFFD),), (TxOutput(sats, script),), 0)


def spend(
    wallet: Wallet,
    places: Sequence[tuple[int, int]] = ((0, 0),),
    *,
    others: Sequence[tuple[Wallet, tuple[int, int]]] = (),
    change: tuple[int, int] = (1, 0),
    origins: bool = True,
) -> Psbt:
    """A version 0 PSBT that spends one coin at each place, pays half of it, and takes the rest back less a fee.

    Args:
        wallet: Whose change it is.
        places: The wallet's coins, by branch and index.
        others: Coins of other wallets, spent by the inputs that follow.
        change: Where the change goes.
        origins: Tell whose keys the scripts have.
    """
    spent = [(wallet, place) for place in places] + list(others)
    scripts = [Deriver(owner).script(*place) for owner, place in spent]
    txs = [funding(script.script_pubkey, f"{wallet.id}{number}") for number, script in enumerate(scripts)]
    back = Deriver(wallet).script(*change)
    half = COIN * len(spent) // 2
    psbt = creator.create(
        [TxInput(OutPoint(tx.txid_bytes, 0), b"", 0xFFFFFFFD) for tx in txs],
        [TxOutput(half, PAYEE), TxOutput(half - 2_000 * len(spent), back.script_pubkey)],
    )
    for index, (tx, script) in enumerate(zip(txs, scripts, strict=True)):
        psbt = updater.with_previous_tx(psbt, index, tx.serialize())
        if script.taproot is not None:
            psbt = updater.with_witness_utxo(psbt, index, tx.outputs[0])
            derivations = script.taproot.derivations if origins else {}
            psbt = updater.with_input_taproot(psbt, index, script.taproot.output, derivations=derivations)
            continue
        psbt = updater.with_input_scripts(
            psbt,
            index,
            redeem_script=script.redeem,
            witness_script=script.witness,
            origins=script.origins if origins else {},
        )
    if back.taproot is not None:
        derivations = back.taproot.derivations if origins else {}
        return updater.with_output_taproot(psbt, 1, back.taproot.output, derivations=derivations)
    return updater.with_output_scripts(
        psbt, 1, redeem_script=back.redeem, witness_script=back.witness, origins=back.origins if origins else {}
    )


def approved(psbt: Psbt, wallet: Wallet, context: ReviewContext | None = None) -> Approved:
    """Reviewed, and approved by a person who accepts the warnings."""
    report = review(psbt, wallet, context or ReviewContext())
    return approve(psbt, report, wallet, by="person")
