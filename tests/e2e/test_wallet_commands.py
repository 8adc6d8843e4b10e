"""`wormsig wallet` as a process: what is printed where, exit codes, what is on disk afterwards."""

from __future__ import annotations

import json
import stat
import sys
from typing import TYPE_CHECKING

import pexpect
import pytest

from support import kinds
from support.cosigners import make_wallet, people
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.derive import Deriver

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunWormsig

PEOPLE = people(3, "wallet commands")
WALLET = make_wallet(PEOPLE)
BODY = WALLET.descriptor[:-9]
REGTEST = {"WORMSIG_NETWORK": "regtest"}
PRINTS = [person.master.fingerprint.hex() for person in PEOPLE]


@pytest.fixture
def family(wormsig: RunWormsig) -> RunWormsig:
    """The command, in a home that has a wallet called family."""
    names = [f"--name={PRINTS[0]}=alice", f"--name={PRINTS[1]}=bob"]
    wormsig("wallet", "import", "family", WALLET.descriptor, *names, env=REGTEST, check=True)
    return wormsig


def test_import_shows_the_wallet_and_prints_its_id(wormsig: RunWormsig, home: Path) -> None:
    arguments = ["wallet", "import", "family", WALLET.descriptor, "--name", f"{PRINTS[0]}=alice"]
    done = wormsig(*arguments, "--birth", "2026-11-01", "--network", "regtest", check=True)
    assert done.stdout == f"{WALLET.id}\n"
    for part in ("2 of 3", "wsh", "regtest", "alice", WALLET.descriptor[-8:], *PRINTS):
        assert part in done.stderr
    for index in range(3):
        assert Deriver(WALLET).address(0, index) in done.stderr
    path = home / "wallets" / "family.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["birth"] == 1793491200
    quiet = wormsig("wallet", "import", "again", WALLET.descriptor, "-q", env=REGTEST, check=True)
    assert quiet.stderr == ""


def test_sources(wormsig: RunWormsig, tmp_path: Path) -> None:
    halves = "\n".join(with_checksum(BODY.replace("<0;1>", branch)) for branch in "01")
    file = tmp_path / "descriptor.txt"
    file.write_text(halves)
    core = json.dumps({"descriptors": [{"desc": half, "active": True} for half in halves.split("\n")]})
    wormsig("wallet", "import", "a", file, env=REGTEST, check=True)
    loose = wormsig("wallet", "import", "b", "-", stdin=BODY.encode(), env=REGTEST, check=True)
    assert "without a checksum" in loose.stderr
    listed = wormsig("wallet", "import", "c", "-", stdin=core.encode(), env=REGTEST, check=True)
    assert "wallet a here is the same wallet" in listed.stderr
    shown = [json.loads(line)["id"] for line in wormsig("wallet", "list", "--json", check=True).stdout.splitlines()]
    assert shown == [WALLET.id] * 3


def test_show(family: RunWormsig) -> None:
    shown = family("wallet", "show", "family", check=True).stdout
    for part in ("family", "2 of 3", "wsh", "regtest", "alice", "bob", *PRINTS, WALLET.id, WALLET.descriptor):
        assert part in shown
    assert all(Deriver(WALLET).address(0, index) in shown for index in range(3))
    value = json.loads(family("wallet", "show", "family", "--json", check=True).stdout)
    assert value["id"] == WALLET.id
    assert value["descriptor"] == WALLET.descriptor
    assert (value["threshold"], value["script_type"], value["network"], value["sorted"]) == (2, "wsh", "regtest", True)
    assert [key["name"] for key in value["keys"]] == ["alice", "bob", None]
    assert [key["fingerprint"] for key in value["keys"]] == PRINTS
    assert value["addresses"] == [Deriver(WALLET).address(0, index) for index in range(3)]


def test_show_names_every_way_to_spend(wormsig: RunWormsig) -> None:
    descriptor = kinds.descriptors()["tr-tree"]
    named = [f"--name={person.master.fingerprint.hex()}={person.name}" for person in kinds.PEOPLE]
    done = wormsig("wallet", "import", "tree", descriptor, *named, env=REGTEST, check=True)
    assert "note: the descriptor came without a checksum" in done.stderr
    shown = wormsig("wallet", "show", "tree", check=True).stdout
    for line in (
        "tree · 2 of 3, or 2 of 2 after 52560 blocks (about 365 days), or 1 of 1 from block 900000 on · tr · regtest",
        "leaf 1      2 of alice, bob, carol",
        "leaf 2      cosigner4 and cosigner5 after 52560 blocks (about 365 days)",
        "leaf 3      alice from block 900000 on",
        "key path    none: the internal key is BIP341's point H: nobody can sign with it",
    ):
        assert line in shown.splitlines()
    value = json.loads(wormsig("wallet", "show", "tree", "--json", check=True).stdout)
    assert (value["policy"], value["script_type"], value["threshold"]) == ("taproot", "tr", 2)
    assert value["ways"][1] == {
        "where": "leaf 2",
        "words": "cosigner4 and cosigner5 after 52560 blocks (about 365 days)",
    }
    assert value["template"].startswith("tr(H,{sortedmulti_a(2,@0/**,@1/**,@2/**),{")
    assert value["addresses"][0].startswith("bcrt1p")
    record = wormsig("wallet", "export", "tree", "--json", check=True).stdout
    again = wormsig("wallet", "import", "again", "-", stdin=record.encode(), check=True)
    assert "wallet tree here is the same wallet" in again.stderr


def test_show_miniscript_and_hash_locks(wormsig: RunWormsig) -> None:
    wormsig("wallet", "import", "m", kinds.descriptors()["wsh-andor"], env=REGTEST, check=True)
    shown = wormsig("wallet", "show", "m", check=True).stdout
    prints = [f"[{person.master.fingerprint.hex()}]" for person in kinds.PEOPLE]
    assert f"way 1       {prints[0]} and {prints[1]} from block 800000 on" in shown.splitlines()
    assert f"way 2       {prints[2]} with the preimage of sha256 56ff43db1c907323f6504805" in shown
    assert "policy      wsh(andor(multi(2,@0/**,@1/**),after(800000),and_v(v:pk(@2/**),sha256(" in shown


def test_list(family: RunWormsig, home: Path) -> None:
    family("wallet", "import", "attic", make_wallet(PEOPLE, 3, script_type="sh").descriptor, env=REGTEST, check=True)
    lines = family("wallet", "list", check=True).stdout.splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["attic", "3", "of", "3", "sh"],
        ["family", "2", "of", "3", "wsh"],
    ]
    objects = [json.loads(line) for line in family("wallet", "list", "--json", check=True).stdout.splitlines()]
    assert [value["name"] for value in objects] == ["attic", "family"]
    (home / "wallets" / "attic.json").write_text("{}")
    damaged = family("wallet", "list")
    assert damaged.returncode == 9
    assert damaged.stdout.startswith("family")
    assert "attic" in damaged.stderr


def test_an_empty_list(wormsig: RunWormsig) -> None:
    done = wormsig("wallet", "list", check=True)
    assert done.stdout == ""
    assert "wormsig wallet import" in done.stderr


def test_addresses(family: RunWormsig) -> None:
    deriver = Deriver(WALLET)
    assert family("wallet", "address", "family", check=True).stdout == deriver.address(0, 0) + "\n"
    some = family("wallet", "address", "family", "--index", 5, "--count", 3, "--change", check=True).stdout
    assert some.split() == [deriver.address(1, index) for index in (5, 6, 7)]
    one = json.loads(family("wallet", "address", "family", "--index", 2147483647, "--json", check=True).stdout)
    assert one["path"] == "0/2147483647"
    assert one["script"] == deriver.script(0, 2147483647).script_pubkey.hex()
    assert family("wallet", "address", "family", "--index", 2147483648).returncode == 2
    assert family("wallet", "address", "family", "--index", 2147483647, "--count", 2).returncode == 3


def test_export_and_import_elsewhere(family: RunWormsig, tmp_path: Path) -> None:
    assert family("wallet", "export", "family", check=True).stdout == WALLET.descriptor + "\n"
    record = family("wallet", "export", "family", "--json", check=True).stdout
    elsewhere = {"WORMSIG_HOME": str(tmp_path / "elsewhere")}
    family("wallet", "import", "ours", "-", stdin=record.encode(), env=elsewhere, check=True)
    value = json.loads(family("wallet", "show", "ours", "--json", env=elsewhere, check=True).stdout)
    assert (value["id"], value["network"], value["keys"][0]["name"]) == (WALLET.id, "regtest", "alice")
    conflict = family("wallet", "import", "x", "-", "--network", "signet", stdin=record.encode())
    assert conflict.returncode == 3


def test_an_existing_name_needs_force(family: RunWormsig) -> None:
    other = make_wallet(PEOPLE, 3)
    refused = family("wallet", "import", "family", other.descriptor, env=REGTEST)
    assert refused.returncode == 2
    assert "already" in refused.stderr
    assert family("wallet", "export", "family", check=True).stdout.strip() == WALLET.descriptor
    family("wallet", "import", "family", other.descriptor, "--force", env=REGTEST, check=True)
    assert family("wallet", "export", "family", check=True).stdout.strip() == other.descriptor


def test_remove(family: RunWormsig, home: Path) -> None:
    refused = family("wallet", "remove", "family")
    assert refused.returncode == 2
    assert (home / "wallets" / "family.json").exists()
    family("wallet", "remove", "family", "-y", check=True)
    assert not list((home / "wallets").iterdir())
    assert family("wallet", "remove", "family", "-y").returncode == 2
    assert family("wallet", "show", "family").returncode == 2


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (WALLET.descriptor[:-1] + ("q" if WALLET.descriptor[-1] != "q" else "p"), 3, "wrong checksum"),
        (BODY.replace("<0;1>", "0"), 3, "receive branch alone"),
        (BODY.replace("(2,", "(4,"), 3, "above the number of keys"),
        (f"wsh(sortedmulti(1,{PEOPLE[0].key().expression()},{PEOPLE[0].key().expression()}))", 3, "the same key"),
        (f"wpkh({PEOPLE[0].key().expression()})", 3, "not supported yet"),
        (f"tr({PEOPLE[0].key().expression()})", 3, "not supported yet"),
        ("missing.txt", 3, "cannot read"),
        ("wsh(nonsense)", 3, "not a valid descriptor"),
    ],
)
def test_what_is_no_wallet_is_refused(wormsig: RunWormsig, home: Path, source: str, code: int, words: str) -> None:
    failed = wormsig("wallet", "import", "x", source, env=REGTEST)
    assert failed.returncode == code
    assert words in failed.stderr
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: ")
    assert not list(home.rglob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x", WALLET.descriptor), "does not say which"),
        (("../x", WALLET.descriptor, "--network", "regtest"), "cannot be the name of a wallet"),
        (("x", WALLET.descriptor, "--network", "regtest", "--name", "bob"), "FINGERPRINT=NAME"),
        (("x", WALLET.descriptor, "--network", "regtest", "--name", "d34db33f=bob"), "no key has the fingerprint"),
        (("x", WALLET.descriptor, "--network", "regtest", "--name", f"{PRINTS[0]}=a\tb"), "cannot be the name"),
        (("x", WALLET.descriptor, "--network", "regtest", "--birth", "yesterday"), "not a time"),
        (("x", WALLET.descriptor, "--network", "regtest", "--birth", "5"), "before Bitcoin"),
        (("x", WALLET.descriptor, "--network", "regtest", "--birth", "2999-01-01"), "in the future"),
    ],
)
def test_wrong_usage(wormsig: RunWormsig, home: Path, arguments: tuple[str, ...], words: str) -> None:
    failed = wormsig("wallet", "import", *arguments)
    assert failed.returncode == 2
    assert words in failed.stderr
    assert not list(home.rglob("*.json"))


def test_s3_private_keys_are_refused_and_never_printed(wormsig: RunWormsig, home: Path, tmp_path: Path) -> None:
    private = PEOPLE[0].private_expression()
    secret = private.split("]")[1]
    descriptor = BODY.replace(PEOPLE[0].key().xpub.text(), secret)
    file = tmp_path / "private.txt"
    file.write_text(descriptor)
    for source, stdin in ((descriptor, ""), (file, ""), ("-", descriptor), (private, ""), (secret, ""), ("-", private)):
        failed = wormsig("wallet", "import", "x", source, stdin=stdin.encode(), env=REGTEST)
        assert failed.returncode == 3
        assert "private key" in failed.stderr
        assert secret[10:40] not in failed.stdout + failed.stderr
    left = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in left if secret[10:40] in path.read_text()]


def test_s6_a_changed_wallet_is_refused(family: RunWormsig, home: Path) -> None:
    path = home / "wallets" / "family.json"
    value = json.loads(path.read_text())
    value["descriptor"] = make_wallet([*PEOPLE[:2], people(1, "evil")[0]]).descriptor
    path.write_text(json.dumps(value))
    for command in ("show", "address", "export"):
        failed = family("wallet", command, "family")
        assert failed.returncode == 9
        assert failed.stdout == ""
        assert "was changed" in failed.stderr


def test_a_person_is_asked_before_a_wallet_is_forgotten(
    family: RunWormsig, clean_env: dict[str, str], home: Path
) -> None:
    assert family("wallet", "list").returncode == 0
    for answer, there in (("", True), ("y", False)):
        command = ["-m", "wormsig", "wallet", "remove", "family"]
        child = pexpect.spawn(sys.executable, command, env=clean_env, encoding="utf-8", timeout=60)
        child.expect(r"Forget wallet family\?.*\[y/N\] ")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert (home / "wallets" / "family.json").exists() is there
