"""What is proven, put into the frozen views of a report. Nothing is judged here.

Names come from the wallet and stand only beside keys that the wallet derives; a fingerprint that the PSBT merely
claims is shown without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.bitcoin.network import address_of
from wormsig.bitcoin.script import ScriptType, op_return_data, script_asm
from wormsig.psbt.finals import FinalState
from wormsig.psbt.model import BIP32_DERIVATION, PARTIAL_SIG, REDEEM_SCRIPT
from wormsig.review.claims import INPUT, tap_origin
from wormsig.review.musig import musig_views
from wormsig.review.report import InputView, Label, MusigView, OutputKind, OutputView, SignatureView, named
from wormsig.review.scripts import key_hash, pays_key
from wormsig.wallet.policy import TaprootPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wormsig.psbt.verify import SignatureCheck
    from wormsig.review.signatures import Signatures
    from wormsig.review.subject import Subject
    from wormsig.wallet.derive import WalletScript

Signing = tuple[tuple[bytes, ...], tuple[Label, ...]]
"""The keys that can sign an input, and the label of each."""

SINGLE_KEY = frozenset({"pkh", "wpkh", "sh-wpkh"})
_SPELLED_OUT = frozenset({"op_return", "bare", "unknown"})
"""Kinds whose address, if there is one, does not say what the script does."""

_DERIVATION_KEY, _TAP_DERIVATION_KEY = bytes((INPUT.ecdsa,)), bytes((INPUT.taproot,))


class Labels:
    """Fingerprint and name of each key of the wallet's scripts, written once a branch."""

    __slots__ = ("_claimed", "_known", "_labels", "_sorted", "_wallet")

    def __init__(self, subject: Subject) -> None:
        self._wallet = None if subject.keys is None else subject.keys.wallet
        self._sorted = self._wallet is not None and self._wallet.sorted
        self._labels: dict[int, tuple[Label, ...]] = {}
        self._known: dict[tuple[Label, ...], tuple[Label, ...]] = {}
        self._claimed: dict[tuple[bytes, ...], tuple[Label, ...]] = {}

    def _of(self, script: WalletScript) -> tuple[Label, ...]:
        labels = self._labels.get(script.branch)
        if labels is None:
            labels = self._labels[script.branch] = tuple([(key.fingerprint.hex(), key.name) for key in script.holders])
        return labels

    def own(self, script: WalletScript) -> dict[bytes, Label]:
        """Public key -> label for one of the wallet's scripts."""
        return dict(zip(script.pubkeys, self._of(script), strict=True))

    def signing(self, script: WalletScript) -> Signing:
        """The keys of one of the wallet's scripts, in the order in which they stand in it."""
        pubkeys, labels = script.pubkeys, self._of(script)
        if not self._sorted:
            return pubkeys, labels
        order = sorted(range(len(pubkeys)), key=pubkeys.__getitem__)
        return tuple([pubkeys[place] for place in order]), self.shared(tuple([labels[place] for place in order]))

    def shared(self, labels: tuple[Label, ...]) -> tuple[Label, ...]:
        """The same labels, held once: thousands of inputs have them in a few orders."""
        return self._known.setdefault(labels, labels)

    def claimed(self, fingerprints: tuple[bytes, ...]) -> tuple[Label, ...]:
        """Labels of keys of which only a fingerprint is claimed, held once as well."""
        labels = self._claimed.get(fingerprints)
        if labels is None:
            labels = self._claimed[fingerprints] = tuple([(four.hex() or None, None) for four in fingerprints])
        return labels

    def signers(self, script: WalletScript) -> dict[bytes, Label]:
        """The same for what signatures stand under: in taproot also an internal key that several hold together."""
        pairs = self.own(script)
        policy = None if self._wallet is None else self._wallet.policy
        if script.taproot is not None and isinstance(policy, TaprootPolicy):
            for use, key in zip(policy.uses, script.taproot.keys, strict=False):
                if use.is_aggregate and self._wallet is not None:
                    names = [
                        key.name or f"[{key.fingerprint.hex()}]" for key in map(self._wallet.keys.__getitem__, use.keys)
                    ]
                    pairs[key] = (None, " and ".join(names))
        return pairs


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
        signing = labels.signing(own)
    else:
        kind, threshold, signing = _foreign_parts(subject, index, labels)
    musig: tuple[MusigView, ...] = ()
    if kind == "tr":
        musig = musig_views(subject.psbt.inputs[index], own, {} if own is None else labels.own(own))
    final = signatures.finals.get(index)
    return InputView(  # by place: names cost more than all the rest of making a view
        index,
        txin.outpoint,
        coin,
        kind,
        own is not None,
        None if own is None else own.path,
        threshold,
        *signing,
        txin.sequence,
        signatures.signed.get(index, 0),
        final is not None,
        final is FinalState.VALID if final is not None else index in signatures.enough,
        musig,
    )


def _foreign_parts(subject: Subject, index: int, labels: Labels) -> tuple[str, int | None, Signing]:
    """Kind, threshold and keys of an input as its scripts show them."""
    behind = subject.shown.input(index)
    fields = subject.psbt.inputs[index]
    threshold: int | None = None
    coin = subject.coins[index]
    if behind.multisig is not None:
        threshold, pubkeys = behind.multisig
    elif behind.kind in SINGLE_KEY and coin is not None:
        threshold = 1
        digest = key_hash(coin.script, fields.get(REDEEM_SCRIPT))
        known = dict.fromkeys(key[1:] for key in fields if key[0] in {BIP32_DERIVATION, PARTIAL_SIG})
        pubkeys = tuple([pubkey for pubkey in known if digest is not None and pays_key(digest, pubkey)])
    else:
        pubkeys = behind.taproot.pubkeys
    return behind.kind, threshold, (pubkeys, labels.claimed(tuple([_claimed(fields, key) for key in pubkeys])))


def claimed_fingerprint(fields: Mapping[bytes, bytes], pubkey: bytes) -> str | None:
    """The fingerprint that the PSBT claims for a key, hex."""
    return _claimed(fields, pubkey).hex() or None


def _claimed(fields: Mapping[bytes, bytes], pubkey: bytes) -> bytes:
    """The four bytes of it; empty when nothing is claimed."""
    if len(pubkey) != 32:
        return fields.get(_DERIVATION_KEY + pubkey, b"")[:4]
    return tap_origin(fields.get(_TAP_DERIVATION_KEY + pubkey, b""))[:4]


class _Signers:
    """Who made signatures, asked for input by input."""

    __slots__ = ("_current", "_labels", "_pairs", "_subject")

    def __init__(self, subject: Subject, labels: Labels) -> None:
        self._subject = subject
        self._labels = labels
        self._current = -1
        self._pairs: dict[bytes, Label] = {}

    def of(self, check: SignatureCheck) -> tuple[bytes, Label]:
        """The key whose holder made a signature, and its label."""
        if check.input != self._current:
            self._current = check.input
            own = self._subject.owned.inputs.get(self._current)
            self._pairs = {} if own is None else self._labels.signers(own)
        pubkey = signing_key(self._subject, check)
        fingerprint, name = self._pairs.get(pubkey, (None, None))
        if fingerprint is None and name is None:
            fingerprint = claimed_fingerprint(self._subject.psbt.inputs[check.input], pubkey)
        return pubkey, (fingerprint, name)


def signature_views(subject: Subject, signatures: Signatures, labels: Labels) -> tuple[SignatureView, ...]:
    """All signatures."""
    signers = _Signers(subject, labels)
    return tuple([_signature_view(check, *signers.of(check)) for check in signatures.checks])


def _signature_view(check: SignatureCheck, pubkey: bytes, label: Label) -> SignatureView:
    problem = None if check.problem is None else check.problem.value
    return SignatureView(check.input, pubkey.hex(), *label, check.valid, problem)


def signer_names(subject: Subject, labels: Labels) -> Callable[[SignatureCheck], str]:
    """How to name who made a signature in a sentence; the key's first bytes where no fingerprint is known."""
    signers = _Signers(subject, labels)

    def whose(check: SignatureCheck) -> str:
        pubkey, (fingerprint, name) = signers.of(check)
        if fingerprint is None:
            return name or (f"key {pubkey.hex()[:8]}" if pubkey else "an unknown key")
        return named(fingerprint, name)

    return whose


def signing_key(subject: Subject, check: SignatureCheck) -> bytes:
    """The key whose holder made a signature: for a taproot key path the internal key, as far as it is known."""
    if len(check.key) != 32:
        return check.pubkey
    own = subject.owned.inputs.get(check.input)
    if own is not None and own.taproot is not None:
        return own.taproot.output.internal_key
    return subject.shown.input(check.input).taproot.internal_key or check.pubkey


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
