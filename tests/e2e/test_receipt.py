"""`wormsig receipt`: from journals to text, JSON and a page, and what comparing says. The ceremonies' letters are real,
the network is not there; `test_the_receipts_of_a_real_ceremony_agree` has all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.receipts import keep, played
from wormsig.ceremony.receipt import read, write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunWormsig
    from support.receipts import Play
    from support.world import World


@pytest.fixture(scope="module")
def play() -> Play:
    return played(declines="not this month")


@pytest.fixture
def ours(play: Play, home: Path) -> Path:
    """A home with the coordinator's journal."""
    keep(play, home)
    return home


@pytest.mark.usefixtures("ours")
def test_text_json_and_page_come_from_the_journal_alone(play: Play, wormsig: RunWormsig, tmp_path: Path) -> None:
    text = wormsig("receipt", check=True).stdout
    assert all(len(line) <= 80 for line in text.splitlines())
    receipt = read(wormsig("receipt", "7f3a", "--json", check=True).stdout.encode())
    assert receipt.wallet is not None
    assert (receipt.role, receipt.wallet.name, receipt.phase) == ("coordinator", "family", "broadcast")
    assert [pair.name for pair in receipt.pairs] == ["bob", "carol", "alice"]
    assert {pair.heads for pair in receipt.pairs} == {"agree"}
    assert [output.kind for output in receipt.outputs] == ["payment", "change"]
    final = play.state.transaction
    assert final is not None
    assert receipt.final is not None
    assert (receipt.final.txid, receipt.final.wtxid) == (final.txid, final.wtxid)
    page = tmp_path / "receipt.html"
    done = wormsig("receipt", "7f3a19", "-o", page, check=True)
    assert done.stdout == ""
    assert page.stat().st_mode & 0o777 == 0o600
    for shown in (text, page.read_text()):
        flat = "".join(shown.split())
        for fact in (final.txid, final.wtxid, receipt.psbt_sha256, receipt.ceremony, receipt.pairs[0].head):
            assert fact in flat
        for output in receipt.outputs:
            assert output.address is not None
            assert output.address in flat
        for pair in receipt.pairs:
            assert all(part.digest in flat for part in pair.letters)
        assert "notthismonth" in flat


@pytest.mark.usefixtures("ours")
def test_a_file_is_written_whole_or_not_at_all(wormsig: RunWormsig, tmp_path: Path) -> None:
    target = tmp_path / "mine.json"
    wormsig("receipt", "-o", target, check=True)
    before = target.read_bytes()
    assert read(before).role == "coordinator"
    again = wormsig("receipt", "-o", target)
    assert (again.returncode, target.read_bytes()) == (2, before)
    wormsig("receipt", "--format", "text", "-o", target, "--force", check=True)
    assert target.read_text().startswith("Receipt of the coordinator")
    assert wormsig("receipt", "-o", tmp_path / "nowhere" / "x").returncode == 2


@pytest.mark.parametrize("name", ["bob", "carol", "alice"])
@pytest.mark.usefixtures("ours")
def test_honest_receipts_agree(play: Play, wormsig: RunWormsig, tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs.json"
    theirs.write_bytes(write(play.theirs(name)))
    done = wormsig("receipt", "--compare", theirs)
    assert done.returncode == 0, done.stdout
    assert f"the receipt of: {name}" in done.stdout
    assert "all of them agree" in done.stdout
    piped = wormsig("receipt", "--compare", "-", "--json", stdin=theirs.read_bytes(), check=True)
    assert json.loads(piped.stdout)["agrees"] is True


@pytest.mark.usefixtures("ours")
def test_a_changed_receipt_is_named_and_exits_with_the_peers_code(
    play: Play, wormsig: RunWormsig, tmp_path: Path
) -> None:
    plain = json.loads(write(play.theirs("alice")))
    letter = next(each for each in plain["pairs"][0]["letters"] if each["kind"] == "decline")
    letter["reason"] = "gladly"
    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps(plain))
    done = wormsig("receipt", "--compare", theirs)
    assert done.returncode == 5
    assert "gladly" in done.stdout
    assert "not this month" in done.stdout
    assert done.stderr.startswith("error: the receipts differ: ")
    shown = json.loads(wormsig("receipt", "--compare", theirs, "--json").stdout)
    assert shown["agrees"] is False
    assert any(each["verdict"] == "differs" and each["theirs"] == "gladly" for each in shown["statements"])


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff\xfe", b'{"wormsig_receipt": 1}', b"[" * 100_000, b'"' + b"x" * (17 << 20) + b'"'],
    ids=["empty", "object", "list", "bytes", "short", "deep", "huge"],
)
@pytest.mark.usefixtures("ours")
def test_what_is_no_receipt_exits_with_3(wormsig: RunWormsig, tmp_path: Path, content: bytes) -> None:
    theirs = tmp_path / "theirs.json"
    theirs.write_bytes(content)
    done = wormsig("receipt", "--compare", theirs)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert "bug" not in done.stderr


@pytest.mark.usefixtures("ours")
def test_a_hostile_receipt_cannot_write_to_the_terminal(play: Play, wormsig: RunWormsig, tmp_path: Path) -> None:
    plain = json.loads(write(play.theirs("bob")))
    evil = "\x1b]0;owned\x07\u202egnp.exe\n  agrees  everything"
    plain["pairs"][0]["connections"][0]["verifier"] = evil
    plain["pairs"][0]["letters"][2]["problems"] = [evil]
    plain["wallet"]["name"] = evil
    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps(plain))
    done = wormsig("receipt", "--compare", theirs)
    assert done.returncode == 5
    for stream in (done.stdout, done.stderr):
        assert not {"\x1b", "\x07", "\u202e"} & set(stream)
    assert not any(line.strip() == "agrees  everything" for line in done.stdout.splitlines())


def test_both_roles_on_one_machine_have_to_be_told_apart(play: Play, ours: Path, wormsig: RunWormsig) -> None:
    keep(play, ours, "bob")
    both = wormsig("receipt", "7f3a19")
    assert both.returncode == 2
    ident = play.state.start.ceremony
    assert f"{ident} (coordinator)" in both.stderr
    assert f"{ident}-c (cosigner)" in both.stderr
    assert read(wormsig("receipt", ident, "--json", check=True).stdout.encode()).role == "coordinator"
    assert read(wormsig("receipt", "7f3a19-c", "--json", check=True).stdout.encode()).role == "cosigner"


@pytest.mark.parametrize("ident", ["7f3", "0000", "zzzz", "7f3a-1900-1"])
@pytest.mark.usefixtures("ours")
def test_an_unknown_ceremony_is_wrong_usage(wormsig: RunWormsig, ident: str) -> None:
    done = wormsig("receipt", ident)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.usefixtures("ours")
def test_dashes_in_an_id_are_left_out(wormsig: RunWormsig) -> None:
    assert wormsig("receipt", "7f3a-19").returncode == 0


def test_without_any_ceremony_there_is_no_receipt(wormsig: RunWormsig) -> None:
    assert wormsig("receipt").returncode == 2


def test_without_the_wallet_nothing_is_called_change(play: Play, home: Path, wormsig: RunWormsig) -> None:
    keep(play, home, wallet=False)
    receipt = read(wormsig("receipt", "--json", check=True).stdout.encode())
    assert receipt.wallet is not None
    assert (receipt.wallet.known, receipt.wallet.id) == (False, play.cast.scene.wallet.id)
    assert {output.kind for output in receipt.outputs} == {"payment"}


@pytest.mark.usefixtures("ours")
def test_options_that_exclude_each_other(wormsig: RunWormsig, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    for arguments in (
        ("--json", "--format", "html"),
        ("--compare", "x.json", "--format", "html"),
        ("--compare", "x.json", "-o", "y"),
    ):
        assert wormsig("receipt", *arguments).returncode == 2


def test_the_receipts_of_a_real_ceremony_agree(world: World, tmp_path: Path) -> None:
    world.fund()
    send = world["alice"].start("send", world.psbt(), "--to", "bob", "--to", "carol", "-y", "--json")
    codes = {name: send.wait_for("code-ready", cosigner=name)["code"] for name in ("bob", "carol")}
    receivers = [
        world[name].start("receive", codes[name], "--signer", world[name].signer, "-y", "--json") for name in codes
    ]
    assert send.wait() == 0, send.err
    assert [receiver.wait() for receiver in receivers] == [0, 0]
    ours = read(world["alice"].run("receipt", "--json", check=True).stdout.encode())
    txid = send.events()[-1]["txid"]
    assert ours.final is not None
    assert ours.final.txid == txid
    assert len(ours.signatures) == 2
    assert ours.approval is not None
    assert ours.approval.by == "unattended"
    assert ours.review is not None
    assert ours.review.warnings == ()
    for name in codes:
        theirs = tmp_path / f"{name}.json"
        world[name].run("receipt", "-o", theirs, check=True)
        receipt = read(theirs.read_bytes())
        assert receipt.pairs[0].heads == "agree"
        assert receipt.approval is not None
        assert receipt.approval.by == "unattended"
        done = world["alice"].run("receipt", "--compare", theirs)
        assert done.returncode == 0, done.stdout
        assert f"the receipt of: {name}" in done.stdout
    pair = next(each for each in ours.pairs if each.name == "bob")
    assert [part.kind for part in pair.letters] == ["proposal", "contribution", "judged", "outcome", "farewell"]
    assert pair.connections
    page = tmp_path / "page.html"
    world["alice"].run("receipt", "-o", page, check=True)
    assert txid in page.read_text()


def test_receipts_agree_after_both_sides_were_killed_and_one_declined(world: World, tmp_path: Path) -> None:
    """Letters were sent again, over other connections: they count once, and what was told at the end fits."""
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    quick = {"WORMSIG_LIMITS": "heartbeat=1,takeover=0.5,meeting=5,stagger=1,farewell=5"}
    world.fund()
    names = ("--to", "bob", "--to", "carol")
    send = alice.start("send", world.psbt(), *names, "--signer", alice.signer, "--wait-all", "-y", "--json", env=quick)
    ceremony = send.wait_for("started")["ceremony"]
    codes = {name: send.wait_for("code-ready", cosigner=name)["code"] for name in ("bob", "carol")}
    first = bob.start("receive", codes["bob"], "--signer", bob.signer, "-y", "--json", env=quick)
    first.wait_for("answer-judged")
    for process in (first, send):
        process.process.kill()
        process.wait()
    back = bob.start("resume", ceremony, "--json", env=quick)
    again = alice.start("resume", ceremony, "-y", "--timeout", "20s", "--json", env=quick)
    again.wait_for("peer-connected", cosigner="bob")
    code = again.wait_for("code-ready", cosigner="carol")["code"]
    third = carol.start("receive", code, "--reject", "I am not sure about this", env=quick)
    assert third.wait() == 4, third.err
    assert again.wait() == 0, again.err
    assert back.wait() == 0, back.err
    ours = read(alice.run("receipt", ceremony, "--json", check=True).stdout.encode())
    assert {each.name for each in ours.signatures} == {"alice", "bob"}
    for person in (bob, carol):
        theirs = tmp_path / f"{person.name}.json"
        person.run("receipt", ceremony[:8], "-o", theirs, check=True)
        done = alice.run("receipt", ceremony, "--compare", theirs)
        assert done.returncode == 0, done.stdout
        assert f"the receipt of: {person.name}" in done.stdout
        edited = theirs.read_text().replace("I am not sure about this", "I am quite sure about this")
        theirs.write_text(edited.replace('"sats": 30000000', '"sats": 30000001'))
        assert alice.run("receipt", ceremony, "--compare", theirs).returncode == 5
    pair = next(each for each in ours.pairs if each.name == "bob")
    assert [part.kind for part in pair.letters].count("contribution") == 1
    assert len(pair.connections) >= 2
