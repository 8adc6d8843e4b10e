"""`wormsig broadcast` as a process: verified here, tested by the node, asked, sent; the txid on standard output."""

from __future__ import annotations

import base64
import json
import sys

import pexpect
import pytest

from support.payer import Payer, sign
from support.values import replace
from wormsig.app.broadcast import read_finished
from wormsig.app.combining import finalize_psbt
from wormsig.app.settings import ReviewOptions
from wormsig.errors import InputError, RefusedError
from wormsig.node.client import Node
from wormsig.psbt import codec, model

MILLION = 1_000_000


@pytest.fixture
def shape():
    """The wallet's; a test with another one names it with `parametrize`."""
    return {}


@pytest.fixture
def payer(request, node, wormsig, home, shape):
    payer = Payer(node, wormsig, home, salt=request.node.nodeid, **shape)
    payer.fund(5 * MILLION)
    return payer


@pytest.fixture
def unsigned(payer):
    return payer.created(f"{payer.address()}:0.02")


@pytest.fixture
def signed(payer, unsigned):
    return sign(unsigned, *payer.people[:2])


def _base64(psbt):
    return base64.b64encode(codec.serialize(psbt)).decode()


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        ({}, "complete"),
        ({}, "finalized"),
        ({}, "hex"),
        ({"script_type": "sh-wsh", "is_sorted": False}, "hex"),
        ({"script_type": "sh"}, "finalized"),
    ],
)
def test_every_form_is_sent_and_mined(payer, signed, form):
    final = finalize_psbt(signed)
    argument = {
        "complete": _base64(signed),
        "finalized": _base64(final.psbt),
        "hex": final.transaction.serialize().hex(),
    }
    done = payer.run("broadcast", argument[form], "-y", check=True)
    assert done.stdout == f"{final.transaction.txid}\n"
    assert "The node accepts the transaction" in done.stderr
    assert done.stderr.endswith(f"Transaction {final.transaction.txid}\nBroadcast; the node has it.\n")
    ours = Node(payer.node.settings)
    assert ours.in_mempool(final.transaction.txid)
    payer.node.mine()
    assert ours.confirmations(final.transaction.txid) == 1
    again = payer.run("broadcast", argument[form], "-y", check=True)
    assert again.stdout == done.stdout, "known already is a success"
    assert "already" in again.stderr


@pytest.mark.parametrize("form", ["binary", "base64", "hex"])
def test_files_and_standard_input_hold_either(signed, form, tmp_path):
    transaction = finalize_psbt(signed).transaction
    data = {
        "binary": codec.serialize(signed),
        "base64": _base64(signed).encode() + b"\n",
        "hex": transaction.serialize().hex().encode() + b"\n",
    }[form]
    path = tmp_path / "finished"
    path.write_bytes(data)
    read = read_finished(str(path))
    assert read == (transaction if form == "hex" else signed)


@pytest.mark.parametrize("data", [b"", b"hello", b"00", b"\xff\xfe", b"70736274ff", b"ab" * 50])
def test_what_is_neither_is_refused(data, tmp_path):
    path = tmp_path / "finished"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_finished(str(path))
    with pytest.raises(InputError):
        read_finished(data.decode("latin-1"))


def test_json_says_what_was_done(payer, signed):
    txid = finalize_psbt(signed).transaction.txid
    done = payer.run("broadcast", "-", "-y", "--json", stdin=codec.serialize(signed), check=True)
    review, result = (json.loads(line) for line in done.stdout.splitlines())
    assert (review["event"], review["txid"]) == ("review", txid)
    assert result == {"event": "done", "txid": txid, "broadcast": True, "known": False}


def test_too_few_signatures_are_exit_7_and_nothing_is_sent(payer, unsigned):
    half = sign(unsigned, payer.people[0])
    done = payer.run("broadcast", _base64(half), "-y")
    assert (done.returncode, done.stdout) == (7, "")
    assert not payer.node.rpc.call("getrawmempool")


def test_m5_a_bad_signature_is_found_here_before_the_node_is_asked(payer, signed):
    pubkey, signature = next(iter(model.partial_sigs(signed, 0).items()))
    forged = signature[:-2] + bytes((signature[-2] ^ 1,)) + signature[-1:]
    fields = {**signed.inputs[0], b"\x02" + pubkey: forged}
    done = payer.run("broadcast", _base64(signed.with_input(0, fields)), "-y")
    assert (done.returncode, done.stdout) == (3, "")
    assert "signature" in done.stderr
    assert "the node" not in done.stderr


def test_m5_a_bad_signature_in_a_raw_transaction_is_found_here(payer, signed):
    good = finalize_psbt(signed).transaction
    stack = list(good.witnesses[0])
    stack[1] = stack[1][:-2] + bytes((stack[1][-2] ^ 1,)) + stack[1][-1:]
    bad = replace(good, witnesses=(tuple(stack),))
    done = payer.run("broadcast", bad.serialize().hex(), "-y")
    assert (done.returncode, done.stdout) == (3, "")
    assert "input 0" in done.stderr
    assert not Node(payer.node.settings).in_mempool(good.txid)


def test_a_refusal_of_the_node_is_exit_8_in_plain_words(payer, signed):
    other = sign(payer.created(f"{payer.address()}:0.01"), *payer.people[1:])
    late = sign(payer.created(f"{payer.address()}:0.01", locktime=400_000_000), *payer.people[1:])
    early = payer.run("broadcast", _base64(late), "-y")
    assert (early.returncode, early.stdout) == (8, "")
    assert "its locktime is not reached yet" in early.stderr
    assert "hint:" in early.stderr
    Node(payer.node.settings).send(finalize_psbt(signed).transaction.serialize())
    payer.node.mine()
    twice = payer.run("broadcast", _base64(other), "-y")
    assert (twice.returncode, twice.stdout) == (8, "")
    assert "spent already" in twice.stderr


def test_without_a_terminal_and_without_y_nothing_is_sent(payer, signed):
    done = payer.run("broadcast", _base64(signed))
    assert (done.returncode, done.stdout) == (2, "")
    assert "-y" in done.stderr
    assert not payer.node.rpc.call("getrawmempool")


def test_without_a_node_it_is_a_usage_error(wormsig, signed):
    done = wormsig("broadcast", _base64(signed), "-y")
    assert done.returncode == 2
    assert "node" in done.stderr


def test_another_chain_is_refused(payer, signed):
    done = payer.run("broadcast", _base64(signed), "-y", env={"WORMSIG_WALLET": "", "WORMSIG_NETWORK": "testnet4"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "testnet4" in done.stderr


@pytest.mark.parametrize(("answer", "code"), [("n", 4), ("", 4), ("y", 0)])
def test_a_person_is_asked_once_and_no_is_the_default(payer, signed, clean_env, answer, code):
    path = payer.home / "signed.psbt"
    path.write_bytes(codec.serialize(signed))
    env = {**clean_env, **payer.node.environment(), "WORMSIG_WALLET": "family"}
    child = pexpect.spawn(sys.executable, ["-m", "wormsig", "broadcast", str(path)], env=env, timeout=60)
    child.expect("Broadcast\\? \\[y/N\\]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    txid = finalize_psbt(signed).transaction.txid
    assert Node(payer.node.settings).in_mempool(txid) == (code == 0)
    if code == 0:
        assert txid.encode() in child.before
        payer.node.mine()


def test_an_absurd_fee_is_refused_unless_it_is_meant(payer):
    order = f"{payer.address()}:0.02"
    with pytest.raises(RefusedError):
        payer.created(order, rate=1500)
    psbt = payer.created(order, rate=1500, options=ReviewOptions(max_fee_rate="2000"))
    signed = sign(psbt, *payer.people[:2])
    done = payer.run("broadcast", _base64(signed), "-y")
    assert (done.returncode, done.stdout) == (4, "")
    assert "C12" in done.stderr
    txid = finalize_psbt(signed).transaction.txid
    assert not Node(payer.node.settings).in_mempool(txid)
    low = payer.run("broadcast", _base64(signed), "-y", "--max-fee-rate", "1000")
    assert low.returncode == 8
    assert "above the limit" in low.stderr
