"""What a review says: frozen values for people, scripts and `approve`.

Everything is shown as the wallet proves it; what a PSBT only claims stands here when the wallet cannot know better,
and never under a name of ours. Amounts are satoshis, fee rates exact fractions in sat/vB. Strings may hold words
from outside: `render` escapes them. How things are judged is in the other modules of this room.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from wormsig.review.findings import Code, Severity

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from wormsig.bitcoin.network import Network
    from wormsig.bitcoin.tx import OutPoint, TxOutput

__all__ = [
    "Code",
    "Finding",
    "InputView",
    "KeyView",
    "Label",
    "MusigView",
    "OutputKind",
    "OutputView",
    "Report",
    "Severity",
    "SignatureView",
    "named",
]

Label: TypeAlias = "tuple[str | None, str | None]"
"""A key's fingerprint in hex, and our name for it; see `KeyView`."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that the review found.

    Args:
        code: The row of the table in `findings`.
        where: The place: `transaction`, `input 3`, `output 1`, `global xpub d34db33f/48h`.
        message: One sentence without a final stop that names the place.
        hint: What to do about it, when there is something to do.
        details: Further sentences, the most important first.
    """

    code: Code
    where: str
    message: str
    hint: str | None = None
    details: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """What the finding weighs; each code has one severity."""
        return self.code.severity


class KeyView(msgspec.Struct, frozen=True):
    """A key that can sign an input.

    Args:
        key: 33 or 65 bytes, 32 in taproot.
        fingerprint: Of the master key, hex. The wallet's when the input is the wallet's, else the PSBT's claim.
        name: Our name for the key; only ever from the wallet.
    """

    key: bytes
    fingerprint: str | None = None
    name: str | None = None

    @property
    def pubkey(self) -> str:
        """The key as hex; written when asked for, because a report may hold thousands."""
        return self.key.hex()


class MusigView(msgspec.Struct, frozen=True):
    """Keys that sign as one (MuSig2, BIP327): what each has done so far, unchecked.

    Args:
        keys: The participants, in the order of aggregation; 33 bytes each.
        nonces: Whether each has given a nonce.
        signed: Whether each has given a partial signature.
        leaf: Hash of the leaf that it is for, hex; None for the key path, and while nothing says what it is for: of
            coins that are not the wallet's, before the first nonce.
    """

    keys: tuple[KeyView, ...]
    nonces: tuple[bool, ...]
    signed: tuple[bool, ...]
    leaf: str | None = None


class SignatureView(msgspec.Struct, frozen=True):
    """A signature that the PSBT carries.

    Args:
        input: Index of the input.
        pubkey: Hex; of a taproot key path the internal key, as far as it is known, else the output key.
        fingerprint: As in `KeyView`.
        name: As in `KeyView`.
        valid: It verified over this transaction for a key of the input's script; only then it counts.
        problem: Why it is not valid, in words.
    """

    input: int
    pubkey: str
    fingerprint: str | None
    name: str | None
    valid: bool
    problem: str | None = None


class InputView(msgspec.Struct, frozen=True):
    """One input.

    Args:
        index: From 0.
        spends: Which output.
        coin: That output; None when it is unknown.
        script_type: `wsh`, `sh-wsh`, `sh`, `wpkh`, `sh-wpkh`, `pkh`, `tr`, ... or `unknown`.
        mine: The spent script is one that the wallet derives.
        path: `branch/index` when mine, e.g. `0/3`.
        threshold: Signatures needed, the fewest where there are several ways; None when the script is not known.
        pubkeys: The keys that can sign, in script order; as in `KeyView`.
        labels: Fingerprint and name of each, as in `KeyView`.
        sequence: 32 bits.
        signed: How many distinct keys signed validly.
        final: The input carries final scripts.
        satisfied: Enough valid signatures, or final scripts that verify.
        musig: Keys that sign as one.
    """

    index: int
    spends: OutPoint
    coin: TxOutput | None
    script_type: str
    mine: bool
    path: str | None
    threshold: int | None
    pubkeys: tuple[bytes, ...]
    labels: tuple[Label, ...]
    sequence: int
    signed: int = 0
    final: bool = False
    satisfied: bool = False
    musig: tuple[MusigView, ...] = ()

    @property
    def keys(self) -> tuple[KeyView, ...]:
        """Who can sign, in script order; made when asked for, because a report may hold thousands."""
        return tuple([KeyView(pubkey, *label) for pubkey, label in zip(self.pubkeys, self.labels, strict=True)])

    @property
    def outpoint(self) -> str:
        """`txid:vout`, txid in display order."""
        return str(self.spends)

    @property
    def sats(self) -> int | None:
        """Amount; None when it is unknown."""
        return None if self.coin is None else self.coin.sats

    @property
    def script(self) -> str:
        """The spent scriptPubKey as hex; empty when it is not known."""
        return "" if self.coin is None else self.coin.script.hex()


class OutputKind(enum.StrEnum):
    """What an output is to the wallet."""

    PAYMENT = "payment"
    """Leaves the wallet."""

    CHANGE = "change"
    """The wallet derives its script, byte for byte."""

    DATA = "data"
    """Unspendable, carries data."""


class OutputView(msgspec.Struct, frozen=True):
    """One output.

    Args:
        index: From 0.
        sats: Amount.
        script: scriptPubKey as hex.
        kind: Payment, change or data.
        address: When the script has one and the network is known.
        path: `branch/index` when it is change.
        script_type: As in `InputView`; also `op_return` and `anchor`.
        other_wallet: Name of another wallet of ours that derives it.
        text: Data of an OP_RETURN as text, unescaped; None when it is no text.
        asm: The script in words, for kinds that no address stands for.
    """

    index: int
    sats: int
    script: str
    kind: OutputKind
    address: str | None = None
    path: str | None = None
    script_type: str = "unknown"
    other_wallet: str | None = None
    text: str | None = None
    asm: str | None = None


class Report(msgspec.Struct, frozen=True):
    """The whole review of one PSBT.

    Args:
        psbt_sha256: Hash of the exact PSBT that was reviewed, hex.
        psbt_version: 0 or 2.
        txid: Of the unsigned transaction, display hex; None for a version 2 PSBT of which there is none (C8).
        network: The wallet's, else what the context says.
        wallet: Name of the wallet; None when there was none, and then nothing is mine and nothing change.
        wallet_id: Its id, which `approve` compares.
        threshold: Of the wallet; without one, what all inputs have in common.
        wallet_keys: Number of keys of the wallet, the n of m-of-n.
        wallet_type: Script type of the wallet.
        inputs: In order.
        outputs: In order.
        signatures: Every signature there is, valid or not, in the order of the inputs.
        findings: Errors first, then warnings, then notices.
        input_sats: Sum of all inputs; None when one is unknown.
        own_sats: Sum of the wallet's inputs; of all of them when there is no wallet. None when one is unknown.
        change_sats: Sum of the proven change.
        fee_sats: Inputs minus outputs; negative when there is less coming in than going out.
        vsize: Of the final transaction, missing signatures estimated; None when an input's final size cannot
            be told.
        fee_rate: sat/vB; None when fee or size are not known.
        net_outflow_sats: What leaves the wallet: its inputs minus proven change. None without a wallet.
        locktime: 32 bits.
        tx_version: Of the transaction; relative locktimes need 2.
        replaceable: Signals replacement (BIP125).
        complete: Every input has enough valid signatures or final scripts that verify.
        unsupported: Inputs of a kind that this version cannot sign (MuSig2), where they stand in the way: they still
            need signatures, and nothing else in the PSBT is the wallet's.
        policy: What it takes to spend from the wallet, in a few words.
    """

    psbt_sha256: str
    psbt_version: int
    txid: str | None
    network: Network | None
    wallet: str | None
    wallet_id: str | None
    threshold: int | None
    wallet_keys: int | None
    wallet_type: str | None
    inputs: tuple[InputView, ...]
    outputs: tuple[OutputView, ...]
    signatures: tuple[SignatureView, ...]
    findings: tuple[Finding, ...]
    input_sats: int | None
    own_sats: int | None
    change_sats: int
    fee_sats: int | None
    vsize: int | None
    fee_rate: Fraction | None
    net_outflow_sats: int | None
    locktime: int
    tx_version: int
    replaceable: bool
    complete: bool
    unsupported: tuple[int, ...] = ()
    policy: str | None = None

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is severity)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that forbid signing."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that a person may accept."""
        return self._of(Severity.WARNING)

    @property
    def notices(self) -> tuple[Finding, ...]:
        """Findings that stop nobody."""
        return self._of(Severity.NOTICE)

    @property
    def own_inputs(self) -> frozenset[int]:
        """Indexes of the wallet's inputs: the only ones that may be signed."""
        return frozenset(view.index for view in self.inputs if view.mine)

    def labeller(self) -> Callable[[str], str]:
        """How to name the keys of the inputs' scripts: `[fingerprint] name`, as far as the wallet knows them.

        Returns:
            Public key, hex -> its label. What it takes to be made is linear in the inputs, each label is looked up.
        """
        known: dict[bytes, Label] = {}
        for view in self.inputs:
            for key, said in zip(view.pubkeys, view.labels, strict=True):
                known.setdefault(key, said)

        def label(pubkey: str) -> str:
            fingerprint, name = known.get(bytes.fromhex(pubkey), (None, None))
            return named(fingerprint or pubkey[:8], name)

        return label


def named(fingerprint: str, name: str | None) -> str:
    """A key as people see it: `[fingerprint] name`."""
    return f"[{fingerprint}] {name}" if name else f"[{fingerprint}]"
