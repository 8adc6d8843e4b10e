"""Taproot and miniscript against bitcoind: who signs, combines and finalizes makes no difference, byte for byte."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from support.cosigners import people
from support.kinds import SECRET, descriptors
from wormsig.bitcoin.network import Network
from wormsig.psbt import model
from wormsig.psbt.codec import parse, serialize
from wormsig.psbt.combiner import combine, with_preimages
from wormsig.psbt.contribution import extract as contribution_of
from wormsig.psbt.extractor import extract
from wormsig.psbt.finalizer import can_finalize, finalize
from wormsig.psbt.finals import FinalState, check_finals, final_of, match
from wormsig.psbt.preimages import HASHES, wanted_in
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.size import estimated_weight
from wormsig.psbt.taproot import tap_derivations
from wormsig.psbt.verify import verify
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.derive import Deriver
from wormsig.wallet.descriptor import parse_descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.cosigners import Cosigner
    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt

SATS = 1_000_000
COINS = 2


@dataclass
class Stage:
    """A wallet on the node with coins, and everybody's Core wallet of it."""

    node: RegtestNode
    name: str
    salt: str
    who: list[Cosigner] = field(init=False)

    def __post_init__(self) -> None:
        self.who = people(5, f"taproot core {self.name} {self.salt}")
        self.wallet = parse_descriptor(descriptors(self.who)[self.name], Network.REGTEST, name=self.name)
        self._imported: dict[int | None, str] = {}
        deriver = Deriver(self.wallet)
        for index in range(COINS):
            self.node.fund(deriver.address(0, index), SATS)

    def core(self, person: int | None) -> Any:
        """A Core wallet with the whole descriptor, and one person's private key in it."""
        if person not in self._imported:
            called = self._imported[person] = f"{self.name} {self.salt} {person}"
            self.node.rpc.call("createwallet", called, person is None, True)
            wanted = []
            for branch in (0, 1):
                text = self.wallet.branch_descriptor(branch)[:-9]
                if person is not None:
                    key = self.who[person]
                    text = text.replace(key.key().text(), key.private_expression())
                wanted.append({"desc": with_checksum(text), "timestamp": 0, "range": [0, 20]})
            told = self.node.rpc.for_wallet(called).call("importdescriptors", wanted)
            assert all(done["success"] for done in told), told
        return self.node.rpc.for_wallet(self._imported[person])

    def unsigned(self, *, sequence: int = 0xFFFF_FFFD, locktime: int = 0) -> Psbt:
        """All coins to somebody, and a little back, as Core's watching wallet makes it."""
        watching = self.core(None)
        coins = [
            {"txid": coin["txid"], "vout": coin["vout"], "sequence": sequence, "weight": 1_000}
            for coin in watching.call("listunspent", 0)
        ]
        assert len(coins) == COINS
        payee = self.node.wallet().call("getnewaddress")
        change = Deriver(self.wallet).address(1, 0)
        options = {"add_inputs": False, "fee_rate": 20, "changeAddress": change, "changePosition": 1}
        made = watching.call("walletcreatefundedpsbt", coins, [{payee: "0.015"}], locktime, options, True)
        return parse(base64.b64decode(made["psbt"]))

    def by_core(self, psbt: Psbt, person: int) -> Psbt:
        """Signed by bitcoind."""
        text = base64.b64encode(serialize(psbt)).decode()
        answer = self.core(person).call("walletprocesspsbt", text, True, "DEFAULT", True, False)
        return parse(base64.b64decode(answer["psbt"]))

    def by_us(self, psbt: Psbt, person: int) -> Psbt:
        """Signed here, with whatever keys of a person the PSBT names."""
        master = self.who[person].master
        keys: dict[int, dict[bytes, bytes]] = {}
        for index, fields in enumerate(psbt.inputs):
            named = model.input_derivations(psbt, index)
            named |= {xonly: origin for xonly, (_, origin) in tap_derivations(fields).items()}
            keys[index] = {
                pubkey: master.derive(origin.path).seckey
                for pubkey, origin in named.items()
                if origin.fingerprint == master.fingerprint
            }
        return sign_inputs(psbt, keys)

    def core_combined(self, psbts: Sequence[Psbt]) -> Psbt:
        """Combined by bitcoind."""
        texts = [base64.b64encode(serialize(psbt)).decode() for psbt in psbts]
        return parse(base64.b64decode(self.node.rpc.call("combinepsbt", texts)))

    def core_finalized(self, psbt: Psbt) -> bytes:
        """Finalized by bitcoind."""
        answer = self.node.rpc.call("finalizepsbt", base64.b64encode(serialize(psbt)).decode(), False)
        assert answer["complete"]
        return base64.b64decode(answer["psbt"])

    def accepted(self, raw: bytes) -> dict[str, Any]:
        """What bitcoind says of a transaction."""
        (verdict,) = self.node.rpc.call("testmempoolaccept", [raw.hex()])
        return dict(verdict)


def with_known_preimages(psbt: Psbt) -> Psbt:
    """With the one preimage that the tests know, wherever a script asks for it."""
    given = [
        (index, key, SECRET)
        for index in range(len(psbt.inputs))
        for key in wanted_in(input_scripts(psbt, index))
        if HASHES[key[0]][1](SECRET) == key[1:]
    ]
    return with_preimages(psbt, given)


def finished(stage: Stage, unsigned: Psbt, answers: Sequence[Psbt]) -> Psbt:
    """Combined, finalized and accepted, with the very bytes that bitcoind makes of the same signatures."""
    contributions = [contribution_of(unsigned, parse(serialize(psbt))) for psbt in answers]
    for each in contributions:
        assert (each.rejected, each.differences) == ((), ())
    combined = combine(verify(unsigned), contributions)
    assert serialize(stage.core_combined([unsigned, *answers])) == serialize(combined.psbt)
    final = finalize(combined)
    assert serialize(final) == stage.core_finalized(combined.psbt)
    tx = extract(final)
    verdict = stage.accepted(tx.serialize())
    assert verdict["allowed"], verdict
    assert verdict["vsize"] == tx.vsize
    made = {index: scripts for index in range(len(final.inputs)) if (scripts := final_of(final, index)) is not None}
    assert {check.state for check in match(unsigned, made)} == {FinalState.VALID}
    assert {check.state for check in check_finals(final)} == {FinalState.VALID}  # nothing names the keys any more
    assert estimated_weight(combined.psbt) == tx.weight
    return final


A, B, C, D, E = range(5)

PAIRINGS = [
    ("tr-sortedmulti-a", list(combinations((A, B, C), 2))),
    ("tr-multi-a", [*combinations((A, B, C), 2), (C, A), (B, A)]),
    ("tr-nums-xpub", list(combinations((A, B, C), 2))),
    ("tr-internal-member", [(B, C)]),
    ("tr-internal-other", [(A, B)]),
    ("tr-tree", [(A, B), (B, C)]),
    ("tr-pairs", [(A, B), (A, C), (B, C)]),
    ("tr-hash", [(A, B)]),
    ("tr-same-keys-later", [(B,), (C,), (D,)]),
    ("wsh-recovery", [(A, B), (C, B)]),
    ("wsh-or-b", [(C, A), (B, C)]),
    ("wsh-hash160", [(A, B)]),
    ("wsh-and-n", [(A, B, C)]),
    ("sh-wsh-recovery", [(B, A)]),
]


@pytest.mark.parametrize(("name", "groups"), PAIRINGS, ids=[name for name, _ in PAIRINGS])
def test_it_makes_no_difference_who_signs(node: RegtestNode, name: str, groups: list[tuple[int, ...]]) -> None:
    stage = Stage(node, name, "pairings")
    unsigned = with_known_preimages(stage.unsigned())
    everybody = sorted({person for group in groups for person in group})
    core = {person: stage.by_core(unsigned, person) for person in everybody}
    ours = {person: stage.by_us(unsigned, person) for person in everybody}
    for person in everybody:
        assert serialize(core[person]) == serialize(ours[person]), person
    for group in groups:
        first, *rest = group
        in_turn = stage.by_core(ours[first], rest[0]) if len(group) == 2 else None
        final = finished(stage, unsigned, [core[first], *[ours[person] for person in rest]])
        assert serialize(finished(stage, unsigned, [ours[first], *[core[person] for person in rest]])) == serialize(
            final
        )
        if in_turn is not None:
            assert serialize(finalize(verify(in_turn))) == serialize(final)


@pytest.mark.parametrize("name", ["tr-sortedmulti-a", "wsh-recovery", "tr-pairs"])
def test_with_signatures_to_spare_bitcoinds_choice_is_ours(node: RegtestNode, name: str) -> None:
    stage = Stage(node, name, "spare")
    unsigned = stage.unsigned()
    finished(stage, unsigned, [stage.by_us(unsigned, person) for person in (A, B, C)])


def test_of_leaves_that_cost_the_same_bitcoinds_choice_is_ours(node: RegtestNode) -> None:
    stage = Stage(node, "tr-alike", "spare")
    unsigned = stage.unsigned()
    leaves = input_scripts(unsigned, 0).taproot.leaves.values()  # type: ignore[union-attr]
    assert len({(len(leaf.script), len(leaf.control)) for leaf in leaves}) == 1
    finished(stage, unsigned, [stage.by_us(unsigned, person) for person in (A, B, C, D)])


def test_the_key_path_is_taken_and_mined(node: RegtestNode) -> None:
    for name, person in (("tr-internal-member", A), ("tr-internal-other", E)):
        stage = Stage(node, name, "key path")
        unsigned = stage.unsigned()
        assert serialize(stage.by_core(unsigned, person)) == serialize(stage.by_us(unsigned, person))
        final = finished(stage, unsigned, [stage.by_us(unsigned, person)])
        assert all(len(stack) == 1 for stack in extract(final).witnesses)
        assert stage.node.rpc.call("sendrawtransaction", extract(final).serialize().hex()) == extract(final).txid
        stage.node.mine()


LOCKED = [
    ("wsh-decaying", (A, B), {"sequence": 5}, {"sequence": 12960}, "non-BIP68-final"),
    ("wsh-recovery", (D,), {}, {"sequence": 1000}, "non-BIP68-final"),
    ("wsh-or-c", (B, C), {}, {"sequence": 4194500}, "non-BIP68-final"),
    ("wsh-or-i", (C,), {"locktime": 500}, {"locktime": 1900000000}, "non-final"),
    ("tr-tree", (D, E), {}, {"sequence": 52560}, "non-BIP68-final"),
    ("tr-internal-other", (D,), {"sequence": 999}, {"sequence": 1000}, "non-BIP68-final"),
]


@pytest.mark.parametrize(("name", "group", "shut", "opened", "reason"), LOCKED, ids=[row[0] for row in LOCKED])
def test_a_lock_opens_where_the_transaction_says_so(  # noqa: PLR0917  one column each
    node: RegtestNode, name: str, group: tuple[int, ...], shut: dict[str, int], opened: dict[str, int], reason: str
) -> None:
    """The script is satisfied; that the coin is too young yet, or the locktime not reached, the node says."""
    stage = Stage(node, name, "locks")
    unsigned = stage.unsigned(**shut)
    assert not can_finalize(verify(combine_all(unsigned, [stage.by_us(unsigned, person) for person in group])))
    unsigned = stage.unsigned(**opened)
    combined = combine_all(unsigned, [stage.by_us(unsigned, person) for person in group])
    final = finalize(verify(combined))
    assert serialize(final) == stage.core_finalized(combined)
    assert stage.accepted(extract(final).serialize())["reject-reason"] == reason


def combine_all(unsigned: Psbt, answers: Sequence[Psbt]) -> Psbt:
    return combine(verify(unsigned), [contribution_of(unsigned, psbt) for psbt in answers]).psbt


def test_a_single_key_input_beside_ours_is_final_when_its_owner_signed(node: RegtestNode) -> None:
    stage = Stage(node, "tr-multi-a", "beside")
    node.rpc.call("createwallet", "beside")
    owner = node.rpc.for_wallet("beside")
    kinds = ("bech32", "bech32m", "p2sh-segwit", "legacy")
    for kind in kinds:
        node.fund(owner.call("getnewaddress", "", kind), SATS)
    coins = [{"txid": coin["txid"], "vout": coin["vout"]} for coin in owner.call("listunspent", 0)]
    ours = [{"txid": coin["txid"], "vout": coin["vout"]} for coin in stage.core(None).call("listunspent", 0)]
    made = node.rpc.call("createpsbt", ours + coins, [{node.wallet().call("getnewaddress"): "0.055"}])
    for each in (stage.core(None), owner):
        made = each.call("walletprocesspsbt", made, False, "DEFAULT", True, False)["psbt"]
    unsigned = parse(base64.b64decode(made))
    theirs = parse(base64.b64decode(owner.call("walletprocesspsbt", made, True, "DEFAULT", True, False)["psbt"]))
    final = finished(stage, unsigned, [stage.by_us(unsigned, A), theirs, stage.by_us(unsigned, B)])
    sizes = sorted(len(stack) for stack in extract(final).witnesses)
    assert sizes == [0, 1, 2, 2, 5, 5]
    already = parse(base64.b64decode(owner.call("walletprocesspsbt", made, True, "DEFAULT", True, True)["psbt"]))
    answers = [stage.by_us(unsigned, A), already, stage.by_us(unsigned, B)]
    contributions = [contribution_of(unsigned, psbt) for psbt in answers]
    assert serialize(finalize(combine(verify(unsigned), contributions))) == serialize(final)
