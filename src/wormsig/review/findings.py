"""The one table of what a review can find: code, row of the threat model, severity, meaning, override.

A code starts with the number of its row in the threat model and is stable: scripts and policies name it. Each code
has one severity; where a row knows several degrees, it has several codes. docs/findings.md is generated from this
table. When a finding applies is decided in the other modules of this room, not here.
"""

from __future__ import annotations

import enum
from typing import Self


class Severity(enum.StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    """Signing needs it gone; nothing overrides it but the option that the table names."""

    WARNING = "warning"
    """A person sees it and may go on; an unattended signer refuses unless its policy names the code."""

    NOTICE = "notice"
    """Worth knowing; stops nobody."""


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTICE


class Code(enum.StrEnum):
    """Every finding that a review can make.

    A member is its code as a string; its attributes are the other columns of the table.

    Attributes:
        severity: What it weighs.
        meaning: One line for the documentation.
        override: The option that turns this error into the warning beside it, if there is one.
        never_unattended: No policy can accept it; a person has to.
    """

    severity: Severity
    meaning: str
    override: str | None
    never_unattended: bool

    def __new__(
        cls, code: str, severity: Severity, meaning: str, override: str | None = None, person: bool = False
    ) -> Self:
        """Build a member from its row of the table."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.severity = severity
        member.meaning = meaning
        member.override = override
        member.never_unattended = person
        return member

    @property
    def row(self) -> str:
        """The row of the threat model, e.g. `C3`."""
        return self.value.partition("-")[0]

    # --- amounts of inputs
    AMOUNT_MISMATCH = "C1-amount-mismatch", _E, "The witness UTXO is not the output of the previous transaction."
    WRONG_PREVIOUS_TX = (
        "C1-wrong-previous-tx",
        _E,
        "The previous transaction is not the one that the input names, or has no such output.",
    )
    NODE_DISAGREES = "C1-node-disagrees", _E, "Our node knows this coin with another amount or script."
    NO_PREVIOUS_TX = (
        "C1-no-previous-tx",
        _E,
        "The amount is only claimed: no previous transaction, and our node did not confirm the coin.",
        "--trust-amounts",
    )
    AMOUNT_TRUSTED = (
        "C1-amount-trusted",
        _W,
        "The amount is only claimed, and `--trust-amounts` accepted that.",
        None,
        True,
    )
    LONE_AMOUNT_UNPROVEN = (
        "C1-lone-amount-unproven",
        _W,
        "The only input is segwit without its previous transaction: a lie would make the signature invalid.",
    )

    # --- change
    FAKE_CHANGE = (
        "C2-fake-change",
        _E,
        "An output's key origins name two or more of the wallet's keys, but its script is not the wallet's.",
    )
    NAMES_OUR_KEY = (
        "C2-names-our-key",
        _W,
        "An output's key origins name one of the wallet's keys, but its hidden script is not the wallet's.",
    )
    FOREIGN_KEY_IN_CHANGE = (
        "C3-foreign-key-in-change",
        _E,
        "An output looks like change: its script shares a key with the wallet but is not the wallet's.",
        "--pay-anyway INDEX",
    )
    PAID_ANYWAY = (
        "C3-paid-anyway",
        _W,
        "An output that looks like change but is not, and `--pay-anyway` accepted that.",
        None,
        True,
    )
    COSIGNER_PAYOUT = "C3-cosigner-payout", _N, "A payment to a single key that claims to be a cosigner's."
    OTHER_WALLET = "C3-other-wallet", _N, "A payment to another wallet on this machine."
    INDEX_AHEAD = "C4-index-ahead", _N, "Change at an index more than 20 beyond the highest one seen."
    INDEX_FAR_AHEAD = "C4-index-far-ahead", _W, "Change at an index more than 200 beyond the highest one seen."
    INDEX_OUT_OF_REACH = (
        "C4-index-out-of-reach",
        _E,
        "Change at an index more than 1000 beyond the highest one seen: nobody would look for it there.",
    )

    # --- what a signature covers
    SIGHASH_FIELD = "C5-sighash-field", _E, "An input asks for another sighash type than ALL.", "--allow-sighash TYPE"
    SIGHASH_SIGNATURE = (
        "C5-sighash-signature",
        _E,
        "A signature is of another sighash type than ALL.",
        "--allow-sighash TYPE",
    )
    SIGHASH_ALLOWED = (
        "C5-sighash-allowed",
        _W,
        "Another sighash type than ALL, and `--allow-sighash` accepted that.",
        None,
        True,
    )
    SINGLE_WITHOUT_OUTPUT = (
        "C6-single-without-output",
        _E,
        "SIGHASH_SINGLE with no output at that index: the signature would cover no output.",
    )
    SCRIPT_MISMATCH = (
        "C7-script-mismatch",
        _E,
        "An input's redeemScript or witnessScript does not hash to the script that it spends.",
    )
    OUTPUT_SCRIPT_MISMATCH = (
        "C7-output-script-mismatch",
        _E,
        "An output's redeemScript or witnessScript does not hash to the output's script.",
    )
    SCRIPT_MISSING = (
        "C7-script-missing",
        _W,
        "An input of the wallet comes without its redeemScript or witnessScript.",
    )

    # --- time
    LOCKTIME_AHEAD = (
        "C8-locktime-ahead",
        _W,
        "The locktime is more than 6 blocks above our tip, or more than 2 hours above its median time.",
    )
    LOCKTIME_UNENFORCED = (
        "C8-locktime-unenforced",
        _W,
        "A locktime is set but every sequence is final, so nothing enforces it.",
    )
    LOCKTIME_UNCHECKED = "C8-locktime-unchecked", _N, "A locktime that cannot be compared: no node was asked."
    LOCKTIME_CONFLICT = (
        "C8-locktime-conflict",
        _E,
        "The inputs of a version 2 PSBT require locktimes that exclude each other: there is no transaction.",
    )
    RELATIVE_DELAY = "C8-relative-delay", _W, "A sequence delays the transaction by more than 6 blocks or 2 hours."

    # --- whose inputs, whose keys
    FOREIGN_INPUTS = "C9-foreign-inputs", _W, "Inputs that are not the wallet's."
    UNKNOWN_AMOUNT = "C9-unknown-amount", _E, "An input's amount is unknown, and so is the fee."
    XPUB_SWAPPED = (
        "C10-xpub-swapped",
        _E,
        "A global xpub under the key origin of one of our keys is another key.",
    )
    XPUB_UNKNOWN = "C10-xpub-unknown", _W, "A global xpub that is none of the wallet's keys."
    XPUB_METADATA = (
        "C10-xpub-metadata",
        _N,
        "A global xpub is the wallet's key, with another depth, parent, path or fingerprint.",
    )
    NETWORK_MISMATCH = "C11-network-mismatch", _E, "The wallet and the node are on different networks."
    COIN_TYPE = "C11-coin-type", _W, "A derivation path has the coin type of another network."
    XPUB_NETWORK = "C11-xpub-network", _W, "A global xpub carries the prefix of another network."

    # --- amounts of the transaction
    NEGATIVE_FEE = "C12-negative-fee", _E, "The outputs are worth more than the inputs."
    AMOUNT_OVERFLOW = "C12-amount-overflow", _E, "An amount or a sum is above 21 million BTC."
    FEE_TOO_HIGH = "C12-fee-too-high", _E, "The fee is above 10 % of our inputs, or above `--max-fee`.", "--max-fee"
    FEE_RATE_TOO_HIGH = (
        "C12-fee-rate-too-high",
        _E,
        "The fee rate is above 1000 sat/vB, or above `--max-fee-rate`.",
        "--max-fee-rate",
    )
    FEE_HIGH = "C12-fee-high", _W, "The fee is above 5 % of our inputs."
    DUPLICATE_INPUT = "C13-duplicate-input", _E, "The same coin is spent twice."
    NO_INPUTS = "C13-no-inputs", _E, "The transaction has no inputs."
    NO_OUTPUTS = "C13-no-outputs", _E, "The transaction has no outputs."
    NEGATIVE_AMOUNT = "C13-negative-amount", _E, "An amount is negative."
    ZERO_AMOUNT = "C13-zero-amount", _W, "An output of zero that is neither data nor an anchor."

    # --- what outputs hide
    DATA_OUTPUT = "C14-data-output", _N, "An output carries data."
    BURNED_COINS = "C14-burned-coins", _W, "An output that nobody can spend has an amount."
    ANYBODY_CAN_SPEND = "C14-anybody-can-spend", _W, "An output that anybody can spend has more than an anchor needs."
    NONSTANDARD_VERSION = "C14-nonstandard-version", _W, "A transaction version that nodes do not relay: not 1 to 3."
    NONSTANDARD_SCRIPT = "C14-nonstandard-script", _W, "An output's script is of no standard kind; it may hide data."
    UNKNOWN_FIELDS = "C15-unknown-fields", _N, "Unknown or proprietary fields: kept, never acted on."
    SIGHASH_BOMB = "C16-sighash-bomb", _E, "Checking the legacy signatures would hash more than 200 MB."
    LOOK_ALIKE = "C18-look-alike-address", _W, "An address begins and ends like another one but differs."
    DUST = "C19-dust", _W, "An output so small that spending it costs more than it is worth."
    ADDRESS_REUSE = "C19-address-reuse", _W, "Change goes to an address of ours that was paid before."

    # --- keys and signatures
    WRONG_KEY_ORIGIN = (
        "C21-wrong-key-origin",
        _E,
        "An input of the wallet states another fingerprint or path for a key than the wallet does.",
    )
    KEY_OUT_OF_PLACE = (
        "C21-key-out-of-place",
        _E,
        "One of the wallet's keys at a place where the wallet's descriptor does not put it.",
    )
    WRONG_CHANGE_ORIGIN = (
        "C21-wrong-change-origin",
        _W,
        "Proven change states another fingerprint or path for a key than the wallet does.",
    )
    BAD_SIGNATURE = "C22-bad-signature", _E, "A signature that is already there does not verify."
    BAD_FINAL = "C22-bad-final", _E, "An input's final scripts do not verify."
    FINAL_NOT_CHECKED = (
        "C22-final-not-checked",
        _W,
        "Final scripts of a kind that cannot be checked here.",
    )
    SIGNATURE_NOT_CHECKED = (
        "C22-signature-not-checked",
        _W,
        "A signature on an input whose kind cannot be checked here; it is not counted.",
    )
    OUR_KEY_IN_FOREIGN_INPUT = (
        "C23-our-key-in-foreign-input",
        _E,
        "An input that is not the wallet's names a key of ours, or was signed here before: it may be a coin of ours.",
    )

    # --- what may still change
    STILL_MODIFIABLE = (
        "C20-still-modifiable",
        _W,
        "A version 2 PSBT says that inputs or outputs may still be added: it is not finished.",
    )

    # --- history
    PAID_BEFORE = "C24-paid-before", _W, "The same recipient and amount were signed before, with other coins."
    REPLACES = "C24-replaces", _N, "It replaces a transaction that was signed before and pays the same."
    REPLACES_DIFFERENTLY = (
        "C24-replaces-differently",
        _W,
        "It replaces a signed transaction that paid otherwise.",
    )
    MINED = "C24-mined", _N, "Our node has this very transaction in a block: there is nothing left to sign."
    COINS_SPENT = (
        "C24-coins-spent",
        _N,
        "A coin is spent in a block already, as our node knows: unless this transaction did, it can never be mined.",
    )
    HISTORY_UNREADABLE = (
        "C24-history-unreadable",
        _N,
        "What was signed here before cannot all be read, so repeated payments may go unnoticed.",
    )
