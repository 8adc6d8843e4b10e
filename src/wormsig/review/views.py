"""What is proven, put into the frozen views of a report. Nothing is judged here.

Names come from the wallet and stand only beside keys that the wallet derives; a fingerprint that the PSBT merely
claims is shown without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.network import address_of
from wormsig.bitcoin.script import ScriptType, op_return_data, script_asm
from wormsig.psbt.finals import FinalState
from wormsig.psbt.model import BIP32_DERIVATION, REDEEM_SCRIPT
from wormsig.review.report import InputView, KeyView, OutputKind, OutputView, SignatureView
from wormsig.review.scripts import key_hash, pays_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.psbt.verify import SignatureCheck
    from wormsig.review.signatures import Signatures
    from wormsig.review.subject import Subject
    from wormsig.wallet.derive import WalletScript

SINGLE_KEY = frozenset({"pkh", "wpkh", "sh-wpkh"})
_SPELLED_OUT = frozenset({"op_return", "bare", "unknown"})
"""Kinds whose address, if there is one, does not say what the script does."""

_DERIVATION_KEY = bytes((BIP32_DERIVATION,))


class Labels:
    """Fingerprint and name of each key of the wallet, written once."""

    __slots__ = ("_pairs",)

    def __init__(self, subject: Subject) -> None:
        wallet_keys = subject.keys.wallet.keys if subject.keys is not None else ()
        self._pairs = [(key.fingerprint.hex(), key.name) for key in wallet_keys]

    def own(self, script: WalletScript) -> dict[bytes, tuple[str, str | None]]:
        """Public key -> (fingerprint, name) for one of the wallet's scripts."""
        return dict(zip(script.origins, self._pairs, strict=True))


def input_views(subject: Subject, signatures: Signatures, labels: Labels) -> tuple[InputView, ...]:
    """All inputs."""
    return tuple([_input_view(subject, index, signatures, labels) for index in range(len(subject.psbt.inputs))])


def _input_view(subject: Subject, index: int, signatures: Signatures, labels: Labels) -> InputView:
    coin, own = subject.coins[index], subject.owned.inputs.get(index)
    txin = subject.psbt.tx.inputs[index]
    if own is not None and subject.keys is not None:
        wallet = subject.keys.wallet
        kind: str = wallet.script_type
        threshold: int | None = wallet.threshold
        pairs = labels.own(own)
        order = sorted(pairs) if wallet.sorted else pairs
        keys = tuple([KeyView(pubkey.hex(), *pairs[pubkey]) for pubkey in order])
    else:
        kind, threshold, keys = _foreign_parts(subject, index)
    signed = signatures.signed.get(index, 0)
    final = signatures.finals.get(index)
    enough = final is None and threshold is not None and signed >= threshold
    return InputView(
        index=index,
        outpoint=str(txin.outpoint),
        sats=None if coin is None else coin.sats,
        script_type=kind,
        mine=own is not None,
        path=None if own is None else own.path,
        threshold=threshold,
        keys=keys,
        sequence=txin.sequence,
        script="" if coin is None else coin.script.hex(),
        signed=signed,
        final=final is not None,
        satisfied=final is FinalState.VALID or enough,
    )


def _foreign_parts(subject: Subject, index: int) -> tuple[str, int | None, tuple[KeyView, ...]]:
    """Kind, threshold and keys of an input as its scripts show them."""
    behind = subject.shown.input(index)
    fields = subject.psbt.inputs[index]
    multisig = behind.multisig
    if multisig is not None:
        keys = [KeyView(pubkey.hex(), claimed_fingerprint(fields, pubkey)) for pubkey in multisig.pubkeys]
        return behind.kind, multisig.threshold, tuple(keys)
    coin = subject.coins[index]
    if behind.kind in SINGLE_KEY and coin is not None:
        digest = key_hash(coin.script, fields.get(REDEEM_SCRIPT))
        known = dict.fromkeys(key[1:] for key in fields if key[0] in {BIP32_DERIVATION, 0x02})
        keys = [
            KeyView(pubkey.hex(), claimed_fingerprint(fields, pubkey))
            for pubkey in known
            if digest is not None and pays_key(digest, pubkey)
        ]
        return behind.kind, 1, tuple(keys)
    return behind.kind, None, ()


def claimed_fingerprint(fields: Mapping[bytes, bytes], pubkey: bytes) -> str | None:
    """The fingerprint that the PSBT claims for a key, hex."""
    origin = fields.get(_DERIVATION_KEY + pubkey)
    return None if origin is None else origin[:4].hex()


def signature_views(subject: Subject, signatures: Signatures, labels: Labels) -> tuple[SignatureView, ...]:
    """All signatures."""
    pairs: dict[bytes, tuple[str, str | None]] = {}
    current = -1
    views = []
    for check in signatures.checks:
        if check.input != current:
            current = check.input
            own = subject.owned.inputs.get(current)
            pairs = {} if own is None else labels.own(own)
        views.append(_signature_view(subject, check, pairs))
    return tuple(views)


def _signature_view(
    subject: Subject, check: SignatureCheck, pairs: Mapping[bytes, tuple[str, str | None]]
) -> SignatureView:
    fingerprint, name = pairs.get(check.pubkey, (None, None))
    if fingerprint is None:
        fingerprint = claimed_fingerprint(subject.psbt.inputs[check.input], check.pubkey)
    problem = None if check.problem is None else check.problem.value
    return SignatureView(check.input, check.pubkey.hex(), fingerprint, name, check.valid, problem)


def output_views(subject: Subject, other_wallets: Mapping[int, str]) -> tuple[OutputView, ...]:
    """All outputs."""
    return tuple(
        [_output_view(subject, index, other_wallets.get(index)) for index in range(len(subject.psbt.tx.outputs))]
    )


def _output_view(subject: Subject, index: int, other_wallet: str | None) -> OutputView:
    output = subject.psbt.tx.outputs[index]
    own = subject.owned.outputs.get(index)
    address = None if subject.network is None else address_of(output.script, subject.network)
    if own is not None and subject.keys is not None:
        kind, script_type = OutputKind.CHANGE, str(subject.keys.wallet.script_type)
    else:
        script_type = subject.shown.output(index).kind
        kind = OutputKind.DATA if script_type == ScriptType.OP_RETURN else OutputKind.PAYMENT
    data = op_return_data(output.script)
    return OutputView(
        index=index,
        sats=output.sats,
        script=output.script.hex(),
        kind=kind,
        address=address,
        path=None if own is None else own.path,
        script_type=script_type,
        other_wallet=other_wallet,
        text=None if not data else _text(data),
        asm=script_asm(output.script) if script_type in _SPELLED_OUT else None,
    )


def _text(data: bytes) -> str | None:
    """Data as text, when it is UTF-8; it may still hold anything that UTF-8 can."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
