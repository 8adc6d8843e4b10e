"""Interoperation with Bitcoin Core: one cosigner signs with wormsig, another with `walletprocesspsbt`.

Both combine and finalize; the transactions, and the PSBTs on the way, have to be the same to the byte.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from itertools import permutations

import pytest

from support.payer import Payer, sign
from wormsig.app.combining import combine_answers, finalize_psbt
from wormsig.node.client import Node
from wormsig.psbt import codec, model
from wormsig.wallet.checksum import with_checksum

MILLION = 1_000_000
SHAPES = [
    {"script_type": script_type, "is_sorted": is_sorted}
    for script_type in ("wsh", "sh-wsh", "sh")
    for is_sorted in (True, False)
]


@pytest.fixture
def shape():
    """The wallet's; a test with another one names it with `parametrize`."""
    return {}


@pytest.fixture
def payer(request, node, wormsig, home, shape):
    payer = Payer(node, wormsig, home, salt=request.node.nodeid, **shape)
    for index in range(3):
        payer.fund(2 * MILLION, index=index)
    return payer


@pytest.fixture
def unsigned(payer):
    psbt = payer.created(f"{payer.address()}:0.03", f"{payer.address()}:0.02")
    assert len(psbt.inputs) == 3
    return psbt


def core_wallet(payer, person, *, knows_the_wallet=True):
    """A wallet of Core's with one cosigner's private key, in the multisig's descriptor or in one of its own."""
    key = person.key(payer.wallet.script_type)
    private = person.private_expression(payer.wallet.script_type)
    name = f"core {person.name} {payer.wallet.id[:8]}"
    if name in payer.node.rpc.call("listwallets"):
        return name
    payer.node.rpc.call("createwallet", wallet_name=name, blank=True)
    requests = []
    for branch in (0, 1):
        body = payer.wallet.descriptor.partition("#")[0] if knows_the_wallet else f"wpkh({key.expression()})"
        body = body.replace(key.expression(), f"{private}/<0;1>/*").replace("<0;1>", str(branch))
        requests.append({"desc": with_checksum(body), "timestamp": "now", "range": [0, 20], "internal": branch == 1})
    answers = payer.node.rpc.for_wallet(name).call("importdescriptors", requests)
    assert all(answer["success"] for answer in answers), answers
    return name


def _text(psbt):
    return base64.b64encode(codec.serialize(psbt)).decode()


def _core_combines(payer, *psbts):
    """Core's combined PSBT, its finalized PSBT and its transaction, as bytes."""
    combined = payer.node.rpc.call("combinepsbt", [_text(psbt) for psbt in psbts])
    final = payer.node.rpc.call("finalizepsbt", psbt=combined, extract=False)
    extracted = payer.node.rpc.call("finalizepsbt", combined)
    assert final["complete"]
    assert extracted["complete"]
    return base64.b64decode(combined), base64.b64decode(final["psbt"]), bytes.fromhex(extracted["hex"])


@pytest.mark.parametrize("knows_the_wallet", [True, False], ids=["multisig-descriptor", "single-key-descriptor"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_both_combine_to_the_same_bytes(payer, unsigned, knows_the_wallet):
    alice, bob, _ = payer.people
    ours = Node(payer.node.settings)
    by_wormsig = sign(unsigned, alice)
    by_core = codec.parse(
        ours.process_psbt(core_wallet(payer, bob, knows_the_wallet=knows_the_wallet), codec.serialize(unsigned))
    )
    assert all(len(model.partial_sigs(by_core, index)) == 1 for index in range(3))
    answers = [("alice", codec.serialize(by_wormsig)), ("bob", codec.serialize(by_core))]
    combined = combine_answers(unsigned, answers, str)
    assert not combined.wrong
    assert not combined.missing
    final = finalize_psbt(combined.psbt)
    core_combined, core_final, core_transaction = _core_combines(payer, by_wormsig, by_core)
    assert codec.serialize(combined.psbt) == core_combined
    assert codec.serialize(final.psbt) == core_final
    assert final.transaction.serialize() == core_transaction
    assert ours.send(core_transaction) == final.transaction.txid
    payer.node.mine()
    assert ours.confirmations(final.transaction.txid) == 1


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_every_pairing_of_signers_gives_the_same(payer, unsigned):
    """Whoever of the three signs with whom, and whichever of the two programs each of them uses."""
    ours = Node(payer.node.settings)
    by_us = [sign(unsigned, person) for person in payer.people]
    by_core = [
        codec.parse(ours.process_psbt(core_wallet(payer, person), codec.serialize(unsigned))) for person in payer.people
    ]
    assert [codec.serialize(psbt) for psbt in by_core] == [codec.serialize(psbt) for psbt in by_us]
    for first, second in permutations(range(3), 2):
        answers = [("wormsig", codec.serialize(by_us[first])), ("core", codec.serialize(by_core[second]))]
        combined = combine_answers(unsigned, answers, str)
        assert (combined.wrong, combined.missing) == ((), {})
        final = finalize_psbt(combined.psbt)
        core_combined, core_final, core_transaction = _core_combines(payer, by_us[first], by_core[second])
        assert codec.serialize(combined.psbt) == core_combined
        assert codec.serialize(final.psbt) == core_final
        assert final.transaction.serialize() == core_transaction
        # One after the other, on the same PSBT.
        in_turn = codec.parse(ours.process_psbt(core_wallet(payer, payer.people[second]), answers[0][1]))
        assert codec.serialize(in_turn) == core_combined
        assert codec.serialize(sign(by_core[second], payer.people[first])) == core_combined
        assert payer.node.rpc.call("testmempoolaccept", [core_transaction.hex()])[0]["allowed"]


@pytest.mark.parametrize("shape", SHAPES[::2], ids=lambda shape: shape["script_type"])
def test_core_reads_wormsigs_psbt_back_unchanged(payer, unsigned):
    """Core's own codec writes every field where wormsig wrote it."""
    again = payer.node.rpc.call("combinepsbt", [_text(unsigned)])
    assert base64.b64decode(again) == codec.serialize(unsigned)
    decoded = payer.node.rpc.call("decodepsbt", _text(unsigned))
    assert len(decoded["inputs"]) == 3
    assert all(len(each["bip32_derivs"]) == 3 for each in decoded["inputs"])


@pytest.mark.parametrize("shape", SHAPES[::2], ids=lambda shape: shape["script_type"])
def test_a_psbt_that_core_made_is_signed_by_both(payer):
    """Core creates, wormsig and Core sign, one after the other."""
    alice, bob, _ = payer.people
    ours = Node(payer.node.settings)
    watching = ours.ensure_watch_wallet(payer.wallet)
    outputs, change = [{payer.address(): Decimal("0.03")}], payer.deriver.address(1, 0)
    made = watching.rpc.call("walletcreatefundedpsbt", [], outputs, 0, {"changeAddress": change}, True)
    signed = sign(codec.parse(codec.from_any(made["psbt"])), alice)
    both = codec.parse(ours.process_psbt(core_wallet(payer, bob), codec.serialize(signed)))
    final = finalize_psbt(both)
    _, core_final, core_transaction = _core_combines(payer, both)
    assert codec.serialize(final.psbt) == core_final
    assert final.transaction.serialize() == core_transaction


def test_with_a_signature_to_spare_both_take_the_same(payer, unsigned):
    alice, bob, carol = payer.people
    ours = Node(payer.node.settings)
    by_core = codec.parse(ours.process_psbt(core_wallet(payer, carol), codec.serialize(unsigned)))
    pieces = [sign(unsigned, alice), by_core, sign(unsigned, bob)]
    combined = combine_answers(unsigned, [(str(n), codec.serialize(one)) for n, one in enumerate(pieces)], str)
    final = finalize_psbt(combined.psbt)
    core_combined, core_final, core_transaction = _core_combines(payer, *pieces)
    assert codec.serialize(combined.psbt) == core_combined
    assert codec.serialize(final.psbt) == core_final
    assert final.transaction.serialize() == core_transaction


def test_the_whole_way_on_the_command_line(payer, tmp_path):
    """create, sign with a key file, sign with Core, combine, finalize, broadcast; mined."""
    alice, bob, _ = payer.people
    path = {name: tmp_path / name for name in ("alice.key", "pay", "a", "b", "both", "final")}
    payer.run("key", "import", path["alice.key"], "--plain", stdin=alice.master.text().encode(), check=True)
    core = core_wallet(payer, bob)
    payer.create("--to", f"{payer.address()}:0.05", "--fee-rate", "3", "-o", path["pay"], check=True)
    payer.run("sign", path["pay"], "--signer", f"key:{path['alice.key']}", "-y", "-o", path["a"], check=True)
    payer.run("sign", path["pay"], "--signer", f"core:{core}", "-y", "-o", path["b"], check=True)
    payer.run("combine", path["pay"], path["a"], path["b"], "-o", path["both"], check=True)
    done = payer.run("finalize", path["both"], "-o", path["final"], check=True)
    a, b = (codec.parse(path[name].read_bytes()) for name in "ab")
    core_combined, core_final, core_transaction = _core_combines(payer, a, b)
    assert path["both"].read_bytes() == core_combined
    assert path["final"].read_bytes() == core_final
    assert bytes.fromhex(done.stdout.strip()) == core_transaction
    txid = payer.run("broadcast", path["both"], "-y", check=True).stdout.strip()
    payer.node.mine()
    assert Node(payer.node.settings).confirmations(txid) == 1
    assert payer.node.rpc.call("decoderawtransaction", core_transaction.hex())["txid"] == txid
