"""What was signed on this machine before: the review's memory (THREATS C4, C18, C19, C24).

Read from the journals: the ceremonies of both roles, and `signed.sqlite3` beside them, a journal of the same form
for the signatures that `wormsig sign` gives to files. Nothing in them can stop a review: what cannot be read is said.
A transaction counts as signed as soon as one signature for it exists, because a signature cannot be taken back. What
follows from all this is judged in `review`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from wormsig.bitcoin.network import address_of
from wormsig.bitcoin.script import ScriptType, classify
from wormsig.errors import StorageError, WormsigError
from wormsig.psbt import codec, model
from wormsig.psbt.sigkeys import SIGNATURE_TYPES
from wormsig.review.claims import INPUT, OUTPUT, KeyIndex
from wormsig.review.context import GapLimits, SignedBefore
from wormsig.wallet.derive import Deriver
from wormsig.wallet.model import BRANCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from wormsig.app.home import Home
    from wormsig.bitcoin.network import Network
    from wormsig.bitcoin.tx import OutPoint, TxOutput
    from wormsig.journal.store import CeremonyRow, Record
    from wormsig.psbt.model import Fields, Psbt
    from wormsig.review.approve import Approved
    from wormsig.review.claims import Kind, Place
    from wormsig.wallet.model import Wallet

SIGNED_FILES = "signed.sqlite3"
"""The journal of signatures given to files, in the folder of the ceremonies' journal."""

_TRIES = 50
"""Places that are derived for one branch to prove how far it is used; honest PSBTs need one."""


class Entry(msgspec.Struct, frozen=True):
    """A transaction that signatures exist for.

    Attributes:
        psbt: As it was signed.
        network: The network's name; for a ceremony that came to us, in the coordinator's words.
        announced: Nobody here has checked the network.
        at: Unix time of the signature.
        given: As it came to be signed here, serialized; None for what others signed.
    """

    psbt: Psbt
    network: str
    announced: bool
    at: int
    given: bytes | None = None

    def signed_here(self) -> frozenset[OutPoint]:
        """The coins that this machine signed away, as a wallet's of ours."""
        if self.given is None:
            return frozenset()
        before = codec.parse(self.given, like=self.psbt).inputs  # it was read before it was signed
        return frozenset(
            self.psbt.outpoint(index)
            for index, fields in enumerate(self.psbt.inputs)
            if any(key[0] in SIGNATURE_TYPES and before[index].get(key) != fields[key] for key in fields)
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What the past says about one PSBT; the fields of a `ReviewContext`.

    Attributes:
        signed_before: The transactions that share a coin or a payment with it, other than itself.
        previously_paid: Addresses that were paid.
        used_scripts: Scripts of coins that were spent, and of outputs that this PSBT does not replace.
        highest_seen: Highest proven index per branch of the wallet.
        unreadable: What of the past cannot be read, one sentence each.
        signed_coins: Coins of it that were signed here, in this transaction or another.
    """

    signed_before: tuple[SignedBefore, ...] = ()
    previously_paid: frozenset[str] = frozenset()
    used_scripts: frozenset[bytes] = frozenset()
    highest_seen: Mapping[int, int] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    signed_coins: frozenset[OutPoint] = frozenset()


class History:
    """The past of this machine. Journals are read when something is asked for the first time, and never changed.

    Args:
        journals: The journals' files; one that is not there holds nothing.
    """

    def __init__(self, journals: Sequence[Path]) -> None:
        self._journals = journals
        self._read: tuple[tuple[Entry, ...], tuple[str, ...]] | None = None

    @classmethod
    def of(cls, home: Home) -> History:
        """The history of one person. Raises StorageError when the journals' folder cannot be made."""
        ceremonies = home.journal()
        return cls((ceremonies, ceremonies.with_name(SIGNED_FILES)))

    def _all(self) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
        if self._read is None:
            entries: list[Entry] = []
            unreadable: list[str] = []
            for path in self._journals:
                if path.exists():
                    _read_journal(path, entries, unreadable)
            self._read = tuple(entries), tuple(unreadable)
        return self._read

    def known(self, psbt: Psbt, wallet: Wallet | None, network: Network | None) -> Known:
        """What the past says about a PSBT.

        Args:
            psbt: What is to be reviewed.
            wallet: The agreed wallet, when there is one.
            network: Whose past: the wallet's network, or what else is known; None knows nothing.
        """
        if network is None:
            return Known()
        entries, unreadable = self._all()
        own = _Own(wallet) if wallet is not None else None
        past = [entry for entry in entries if _on_network(entry, network, own)]
        others = [entry for entry in past if entry.psbt.txid != psbt.txid]
        coins = frozenset(txin.outpoint for txin in psbt.tx.inputs)
        outputs = frozenset((output.script, output.sats) for output in psbt.tx.outputs)
        before: list[SignedBefore] = []
        used: set[bytes] = set()
        for entry in others:
            spent = frozenset(txin.outpoint for txin in entry.psbt.tx.inputs)
            used.update(coin.script for coin in _coins(entry.psbt) if coin is not None)
            if not spent & coins:
                used.update(output.script for output in entry.psbt.tx.outputs)
            if spent & coins or any((out.script, out.sats) in outputs for out in entry.psbt.tx.outputs):
                before.append(_signed_before(entry, spent, own))
        touching = [entry for entry in entries if not coins.isdisjoint(txin.outpoint for txin in entry.psbt.tx.inputs)]
        paid = {output.script for entry in past for output in entry.psbt.tx.outputs}
        return Known(
            signed_before=tuple(before),
            previously_paid=frozenset(filter(None, (address_of(script, network) for script in paid))),
            used_scripts=frozenset(used),
            highest_seen={} if own is None else own.highest(past),
            unreadable=unreadable,
            signed_coins=coins & frozenset().union(*[entry.signed_here() for entry in touching]),
        )

    def highest_seen(self, wallet: Wallet) -> Mapping[int, int]:
        """The highest index of each branch that something signed here spends from or pays."""
        own = _Own(wallet)
        return own.highest([entry for entry in self._all()[0] if _on_network(entry, wallet.network, own)])

    def reserved(
        self, unspent: Callable[[], Collection[OutPoint]], look_up: Callable[[Iterable[OutPoint]], Collection[OutPoint]]
    ) -> frozenset[OutPoint]:
        """Coins of transactions that were signed here and can still be mined (THREATS C24).

        Args:
            unspent: Gives the wallet's unspent coins.
            look_up: Gives those of some coins that are unspent, anybody's: a transaction one of whose coins is gone
                was mined or never will be.
        """
        spending = [frozenset(txin.outpoint for txin in entry.psbt.tx.inputs) for entry in self._all()[0]]
        if not spending:
            return frozenset()
        here = frozenset(unspent())
        touching = [coins for coins in spending if not coins.isdisjoint(here)]
        there = set(look_up(coin for coins in touching for coin in coins)) if touching else set()
        return frozenset(coin for coins in touching if coins <= there for coin in coins)


NO_HISTORY = History(())
"""For those who have no home, such as tests of something else."""


@contextlib.contextmanager
def begin_signing(home: Home, approved: Approved) -> Iterator[Callable[[Psbt], None]]:
    """Note that a file is about to be signed; the hash of its bytes stands in the journal from here on (THREATS C20).

    Args:
        home: Whose journal.
        approved: What will be signed.

    Yields:
        What takes the signed PSBT, and returns when it is on the disk.

    Raises:
        StorageError: The journal cannot be written: nothing is to be signed, or given away.
    """
    import secrets  # noqa: PLC0415  what follows is the ceremonies' machinery, which only those who sign load

    from wormsig.app.session import Session  # noqa: PLC0415  same
    from wormsig.ceremony import cosigner  # noqa: PLC0415  same
    from wormsig.journal.store import CeremonyRow, Journal  # noqa: PLC0415  same

    wallet, now, mark = approved.wallet, int(time.time()), secrets.token_hex(16)
    received = cosigner.Received(
        ceremony=mark,
        network=wallet.network.value,
        wallet=wallet.id,
        wallet_name=wallet.name,
        psbt=codec.serialize(approved.psbt),
        psbt_sha256=approved.psbt_sha256,
        threshold=wallet.threshold,
        at=now,
    )
    codes = tuple(finding.code.value for finding in approved.report.warnings)
    reviewed = cosigner.Reviewed(approved.psbt_sha256, (), codes, now)
    agreed = cosigner.Approved(approved.psbt_sha256, approved.by)
    row = CeremonyRow(mark, "cosigner", now, None, wallet.network.value, wallet.name, "sign")
    with Journal(home.journal().with_name(SIGNED_FILES)) as journal:
        session = Session.begin(journal, row, cosigner.MACHINE, received, reviewed, agreed)

        def record(psbt: Psbt) -> None:
            session.record(cosigner.signed(session.state, approved.psbt, psbt))

        yield record


# --- reading journals


def _read_journal(path: Path, entries: list[Entry], unreadable: list[str]) -> None:
    from wormsig.journal.store import Journal  # noqa: PLC0415  only where there is one

    try:
        with Journal(path) as journal:
            for row in journal.ceremonies():
                try:
                    entry = _entry(row, journal.events(row.id))
                except WormsigError as error:
                    unreadable.append(f"ceremony {row.id[:6]} cannot be read: {error.message}")
                    continue
                if entry is not None:
                    entries.append(entry)
    except StorageError as error:
        unreadable.append(error.message)


def _entry(row: CeremonyRow, records: Sequence[Record]) -> Entry | None:
    """What a ceremony signed; None when nothing was.

    Raises:
        StorageError: Its events are not what they should be.
        InputError: Nor is its PSBT.
    """
    raw = _signed_as_cosigner(records) if row.role == "cosigner" else _signed_as_coordinator(records)
    if raw is None:
        return None
    psbt, at = raw
    came = row.role == "cosigner"
    return Entry(codec.parse(psbt), row.network, announced=came, at=at, given=_given(records) if came else None)


def _given(records: Sequence[Record]) -> bytes | None:
    from wormsig.ceremony import cosigner  # noqa: PLC0415  only where there is a journal

    event = cosigner.decode(records[0].body)
    return event.psbt if isinstance(event, cosigner.Received) else None


def _signed_as_cosigner(records: Sequence[Record]) -> tuple[bytes, int] | None:
    from wormsig.ceremony import cosigner  # noqa: PLC0415  only where there is a journal

    for record in reversed(records):
        if record.type == "signed":
            event = cosigner.decode(record.body)
            return (event.psbt, record.at) if isinstance(event, cosigner.Signed) else None
    return None


def _signed_as_coordinator(records: Sequence[Record]) -> tuple[bytes, int] | None:
    """The proposal, when it came with signatures or some were added, whoever signed."""
    from wormsig.ceremony import coordinator_events  # noqa: PLC0415  only where there is a journal

    if not records:
        return None
    event = coordinator_events.decode(records[0].body)
    if not isinstance(event, coordinator_events.Proposed):
        raise StorageError("it does not begin with a proposal")
    added = [record.at for record in records if record.type == "contributed"]
    if not added and not has_signatures(codec.parse(event.psbt)):
        return None
    return event.psbt, added[-1] if added else records[0].at


def has_signatures(psbt: Psbt) -> bool:
    """Whether somebody signed, or says so."""
    return any(
        key[0] in SIGNATURE_TYPES or key in {model.FINAL_SCRIPTSIG, model.FINAL_SCRIPTWITNESS}
        for fields in psbt.inputs
        for key in fields
    )


# --- what an entry means for a wallet


class _Own:
    """What of the past is a wallet's, proven by derivation at the places that the PSBTs name."""

    def __init__(self, wallet: Wallet) -> None:
        self._deriver = Deriver(wallet)
        self._keys = KeyIndex(self._deriver)

    def has(self, script: bytes, fields: Fields, kind: Kind) -> bool:
        """Whether a script is the wallet's at a place that its map names."""
        return any(self._is_at(place, script) for place in self._keys.places(fields, kind))

    def _is_at(self, place: Place, script: bytes) -> bool:
        return place[0] in BRANCHES and self._deriver.script(*place).script_pubkey == script

    def highest(self, entries: Iterable[Entry]) -> dict[int, int]:
        """The highest index of each branch among what these pay, and what they spend not far beyond (THREATS C4)."""
        paid: set[tuple[Place, bytes]] = set()
        spent: set[tuple[Place, bytes]] = set()
        for entry in entries:
            for index, output in enumerate(entry.psbt.tx.outputs):
                paid |= {(place, output.script) for place in self._keys.places(entry.psbt.outputs[index], OUTPUT)}
            for index, coin in enumerate(_coins(entry.psbt)):
                if coin is not None:
                    spent |= {(place, coin.script) for place in self._keys.places(entry.psbt.inputs[index], INPUT)}
        found = self._proven(paid)
        first = max(found.values(), default=min([place[1] for place, _ in spent], default=0))
        near = {claim for claim in spent if claim[0][1] <= found.get(claim[0][0], first) + GapLimits().error}
        for branch, index in self._proven(near).items():
            found[branch] = max(index, found.get(branch, -1))
        return found

    def _proven(self, claims: Collection[tuple[Place, bytes]]) -> dict[int, int]:
        """The highest index of each branch that really has the script that is claimed to be there."""
        found: dict[int, int] = {}
        tried = dict.fromkeys(BRANCHES, 0)
        for place, script in sorted(claims, reverse=True):
            branch, index = place
            if branch in tried and branch not in found and tried[branch] < _TRIES:
                tried[branch] += 1
                if self._is_at(place, script):
                    found[branch] = index
        return found

    def spends(self, psbt: Psbt) -> bool:
        """Whether a transaction spends one of the wallet's coins."""
        return any(
            coin is not None and self.has(coin.script, psbt.inputs[index], INPUT)
            for index, coin in enumerate(_coins(psbt))
        )


def _coins(psbt: Psbt) -> list[TxOutput | None]:
    return [model.spent_output(psbt, index) for index in range(len(psbt.inputs))]


def _on_network(entry: Entry, network: Network, own: _Own | None) -> bool:
    """Whether an entry is of a network; a coordinator who announces another one does not hide what the wallet spent."""
    if entry.network == network.value:
        return True
    return entry.announced and own is not None and own.spends(entry.psbt)


def _signed_before(entry: Entry, spent: frozenset[OutPoint], own: _Own | None) -> SignedBefore:
    psbt, coins = entry.psbt, _coins(entry.psbt)
    amounts = [coin.sats for coin in coins if coin is not None]
    outputs = psbt.tx.outputs
    fee = sum(amounts) - sum(output.sats for output in outputs) if len(amounts) == len(coins) else None
    payments = frozenset(
        (output.script, output.sats)
        for index, output in enumerate(outputs)
        if classify(output.script) is not ScriptType.OP_RETURN
        and (own is None or not own.has(output.script, psbt.outputs[index], OUTPUT))
    )
    return SignedBefore(psbt.txid, spent, payments, fee, entry.at, own=own is not None and own.spends(psbt))
