"""The ceremonies on this machine, as the journal has them. How they are shown stands in `render.ceremonies`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.ceremony import coordinator, cosigner
from wormsig.ceremony.summary import Summary, Waiting
from wormsig.errors import StorageError
from wormsig.psbt.model import input_derivations
from wormsig.psbt.scripts import signer_of
from wormsig.psbt.taproot import tap_derivations
from wormsig.psbt.verify import held_signatures

if TYPE_CHECKING:
    from wormsig.ceremony.summary import Awaited
    from wormsig.journal.store import CeremonyRow, Journal
    from wormsig.psbt.model import Psbt
    from wormsig.psbt.sigkeys import SignatureKey
    from wormsig.wallet.model import Wallet
    from wormsig.wallet.registry import Registry

_OF_COSIGNER: dict[type[cosigner.Effect], Awaited] = {
    cosigner.Review: "decision",
    cosigner.Sign: "signature",
    cosigner.SendAnswer: "to-send",
    cosigner.AwaitOutcome: "outcome",
    cosigner.SendDecline: "to-decline",
}


def summaries(
    journal: Journal, registry: Registry, *, everything: bool = True, only: str | None = None
) -> tuple[Summary, ...]:
    """The ceremonies, newest first. One that cannot be read is listed as `unreadable`, and stops no other.

    Args:
        journal: Where they are.
        registry: Our wallets, for the names of those who signed.
        everything: Also those that are over.
        only: The id of the only one to look at.
    """
    rows = [row for row in journal.ceremonies() if only in (None, row.id) and (everything or row.ended is None)]
    wallets = _wallets(registry) if rows else {}
    return tuple(_summary(journal, row, wallets) for row in rows)


def _wallets(registry: Registry) -> dict[str, Wallet]:
    """The wallets by their ids; without those that cannot be read, which is told where they are used."""
    found = {}
    for name in registry.names():
        try:
            wallet = registry.load(name)
        except StorageError:
            continue
        found[wallet.id] = wallet
    return found


def _summary(journal: Journal, row: CeremonyRow, wallets: dict[str, Wallet]) -> Summary:
    try:
        bodies = [record.body for record in journal.events(row.id)]
        if row.role == "coordinator":
            state = coordinator.replay(coordinator.decode(body) for body in bodies)
            return _coordinator(row, state, wallets, journal.holder(row.id))
        return _cosigner(row, cosigner.replay(cosigner.decode(body) for body in bodies), journal.holder(row.id))
    except StorageError:
        return Summary(row.id, row.role, row.network, row.wallet, row.created, "unreadable", open=row.ended is None)


def _cosigner(row: CeremonyRow, state: cosigner.CosignerState, process: int | None) -> Summary:
    effect = cosigner.pending(state)
    return Summary(
        id=row.id,
        role=row.role,
        network=row.network,
        wallet=state.wallet_name or row.wallet,
        created=row.created,
        phase=str(state.phase),
        sats=state.sats,
        need=state.start.threshold,
        signed=("here",) if state.signed is not None else (),
        awaits=() if effect is None else (Waiting(_OF_COSIGNER[type(effect)]),),
        txid=state.outcome.txid if state.outcome else None,
        outcome=state.outcome.result if state.outcome else None,
        open=row.ended is None,
        process=process,
    )


def _coordinator(
    row: CeremonyRow, state: coordinator.CoordinatorState, wallets: dict[str, Wallet], process: int | None
) -> Summary:
    return Summary(
        id=row.id,
        role=row.role,
        network=row.network,
        wallet=row.wallet,
        created=row.created,
        phase=str(state.phase),
        sats=state.start.sats,
        have=coordinator.held(state),
        need=state.start.threshold,
        signed=_signers(state.copy, wallets.get(state.start.wallet or "")),
        awaits=tuple(_awaited(state, effect) for effect in coordinator.pending(state)),
        cosigners=tuple((each.name, str(each.stage)) for each in state.cosigners.values()),
        notes=tuple((each.name, each.note) for each in state.cosigners.values() if each.note),
        txid=state.transaction.txid if state.transaction else state.copy.txid,
        open=row.ended is None,
        process=process,
    )


def _awaited(state: coordinator.CoordinatorState, effect: coordinator.Effect) -> Waiting:
    match effect:
        case coordinator.Converse(cosigner=name):
            return Waiting("cosigner", name, str(state.cosigners[name].stage))
        case coordinator.FinalizeTransaction():
            return Waiting("finalize")
        case coordinator.DecideBroadcast():
            return Waiting("broadcast-decision")
        case coordinator.SubmitTransaction():
            return Waiting("broadcast")
        case coordinator.TellOutcome(cosigner=name):
            return Waiting("to-tell", name, str(state.cosigners[name].stage))


def _fewest(each: tuple[dict[SignatureKey, bytes], int]) -> int:
    return len(each[0])


def _signers(psbt: Psbt, wallet: Wallet | None) -> tuple[str, ...]:
    """Who signed the input that has the fewest signatures, by our names for the keys; each was verified."""
    if not psbt.inputs:
        return ()
    held, index = min(((held_signatures(psbt, place), place) for place in range(len(psbt.inputs))), key=_fewest)
    fingerprints = {key: origin.fingerprint for key, origin in input_derivations(psbt, index).items()}
    fingerprints |= {key: origin.fingerprint for key, (_, origin) in tap_derivations(psbt.inputs[index]).items()}
    names = []
    for key in held:
        pubkey = signer_of(psbt, index, key)
        fingerprint = fingerprints.get(pubkey)
        known = wallet.key_with(fingerprint) if wallet is not None and fingerprint is not None else None
        names.append((known and known.name) or (fingerprint or pubkey[:8]).hex())
    return tuple(dict.fromkeys(names))
