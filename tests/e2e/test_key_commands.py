"""`wormsig key` as a process: what is printed where, exit codes, what is on disk afterwards."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pexpect
import pytest

from support.agefile import age_encrypt
from support.cosigners import people
from wormsig.bitcoin.network import Network
from wormsig.signers.keyfile import encode_key, read_key_file
from wormsig.signers.secret import read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunWormsig

ALICE = people(1, "key commands")[0]
EXPRESSION = r"\[[0-9a-f]{8}/%s\][tx]pub[0-9A-Za-z]+/<0;1>/\*"
ABANDON = "abandon " * 11 + "about"


def locked(path: Path, passphrase: str) -> Path:
    """A key file that opens quickly, unlike those that wormsig writes."""
    path.write_bytes(age_encrypt(encode_key(read_secret(ALICE.master.text(), Network.SIGNET)), passphrase))
    return path


def test_new_plain_key_on_regtest(wormsig: RunWormsig, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    done = wormsig("key", "new", path, "--plain", "--network", "regtest", check=True)
    assert re.fullmatch(r"[0-9a-f]{8}\n", done.stdout)
    assert "master key for regtest, not encrypted" in done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    value = json.loads(path.read_text())
    assert (value["network"], value["origin"]) == ("regtest", done.stdout.strip())
    assert len(value["words"].split()) == 24
    assert value["words"].split()[0] not in done.stdout + done.stderr

    shown = wormsig("key", "show", path, check=True)
    assert re.fullmatch(EXPRESSION % "48h/1h/0h/2h" + "\n", shown.stdout)
    assert shown.stdout[1:9] == done.stdout.strip()
    paths = {"sh-wsh": "48h/1h/0h/1h", "sh": "45h", "wsh": "48h/1h/0h/2h"}
    for script_type, place in paths.items():
        shown = wormsig("key", "show", path, "--script-type", script_type, check=True)
        assert re.fullmatch(EXPRESSION % place + "\n", shown.stdout)
    as_json = json.loads(wormsig("key", "show", path, "--account", 3, "--json", check=True).stdout)
    assert as_json["origin"].endswith("/48h/1h/3h/2h")

    exported = wormsig("key", "export", path, "-y", check=True)
    assert exported.stdout.strip() == value["words"]
    refused = wormsig("key", "export", path)
    assert (refused.returncode, refused.stdout) == (2, "")


def test_new_encrypted_key_with_age_in_between(wormsig: RunWormsig, tmp_path: Path) -> None:
    """The one test that pays for pyrage's own work factor, both ways."""
    path, secret = tmp_path / "a.key", tmp_path / "passphrase"
    secret.write_text("correct horse\nsecond line\n")
    done = wormsig("key", "new", path, "--network", "signet", "--passphrase-file", secret, check=True)
    data = path.read_bytes()
    assert data.startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert b"words" not in data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened = read_key_file(path, lambda: "correct horse")
    assert opened.network is Network.SIGNET
    assert opened.origin.fingerprint.hex() == done.stdout.strip()
    assert {entry.name for entry in tmp_path.iterdir()} <= {"a.key", "passphrase", "home"}


def test_a_new_key_is_for_mainnet_unless_said(wormsig: RunWormsig, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    refused = wormsig("key", "new", path, "--plain")
    assert refused.returncode == 2
    assert "regtest only, and this key is for mainnet" in refused.stderr
    for network in ("signet", "testnet3", "testnet4"):
        assert wormsig("key", "new", path, "--plain", env={"WORMSIG_NETWORK": network}).returncode == 2
    both = wormsig("key", "new", path, "--plain", "--network", "regtest", "--passphrase-file", __file__)
    assert both.returncode == 2
    assert not path.exists()
    wormsig("key", "new", path, "--plain", env={"WORMSIG_NETWORK": "regtest"}, check=True)


def test_an_existing_file_is_kept_unless_forced(wormsig: RunWormsig, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text("something dear")
    for arguments in (("key", "new", path), ("key", "import", path)):
        refused = wormsig(*arguments, "--plain", "--network", "regtest", stdin=ABANDON.encode())
        assert refused.returncode == 2
        assert "exists" in refused.stderr
        assert path.read_text() == "something dear"
    wormsig("key", "import", path, "--plain", "--network", "regtest", "--force", stdin=ABANDON.encode(), check=True)
    assert "abandon" in path.read_text()


@pytest.mark.parametrize(
    "arguments", [("missing/a.key",), ("a.key", "--passphrase-file", "missing"), ("a.key", "--passphrase-fd", "77")]
)
def test_m2_after_a_failure_there_is_no_file(wormsig: RunWormsig, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    failed = wormsig("key", "new", *arguments, "--network", "signet")
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert not [entry for entry in tmp_path.rglob("*") if entry.is_file()]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (ALICE.master.text(), ALICE.master.fingerprint.hex()),
        (ALICE.private_expression(), str(ALICE.key().origin)),
        (f"wsh(multi(1,{ALICE.private_expression()}/<0;1>/*))", str(ALICE.key().origin)),
        (ABANDON, "73c5da0a"),
    ],
)
def test_import_reads_standard_input(wormsig: RunWormsig, tmp_path: Path, text: str, origin: str) -> None:
    path = tmp_path / "a.key"
    done = wormsig("key", "import", path, "--plain", "--network", "regtest", stdin=text.encode() + b"\n", check=True)
    assert done.stdout.strip() == origin[:8]
    assert json.loads(path.read_text())["origin"] == origin
    shown = wormsig("key", "show", path, check=True).stdout
    if origin != "73c5da0a":
        assert shown.strip() == ALICE.key().expression()


PLANTED = ALICE.private_expression().split("]")[1]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (PLANTED[:-1], 3),
        (f"[00000000/1h]{PLANTED}", 3),
        (f"wsh(multi(1,{PLANTED}/0/*))#qqqqqqqq", 3),
        (f"{PLANTED} and more", 3),
        (ABANDON.replace("about", "zoo"), 3),
        ("", 3),
        ("\udcff", 3),
    ],
)
def test_m1_a_failed_import_shows_nothing_and_leaves_nothing(
    wormsig: RunWormsig, tmp_path: Path, text: str, code: int
) -> None:
    path = tmp_path / "a.key"
    stdin = text.encode("utf-8", "surrogateescape")
    failed = wormsig("key", "import", path, "--plain", "--network", "regtest", stdin=stdin)
    assert failed.returncode == code
    assert failed.stderr.startswith("error: ")
    assert PLANTED[10:30] not in failed.stdout + failed.stderr
    assert "abandon" not in failed.stdout + failed.stderr
    assert not path.exists()


def test_a_tprv_needs_a_network(wormsig: RunWormsig, tmp_path: Path) -> None:
    failed = wormsig("key", "import", tmp_path / "a.key", stdin=PLANTED.encode())
    assert failed.returncode == 2
    assert "--network" in failed.stderr


def test_passphrases_come_from_a_file_or_a_descriptor(
    wormsig: RunWormsig, tmp_path: Path, clean_env: dict[str, str]
) -> None:
    path, secret = locked(tmp_path / "a.key", "pässword"), tmp_path / "passphrase"
    secret.write_text("pässword\r\n")
    shown = wormsig("key", "show", path, "--passphrase-file", secret, check=True).stdout
    assert shown.strip() == ALICE.key().expression()
    secret.write_text("pässword\n", encoding="utf-8-sig")  # with a byte order mark, which nobody could type
    assert wormsig("key", "show", path, "--passphrase-file", secret, check=True).stdout == shown
    reading, writing = os.pipe()
    os.write(writing, "pässword\n".encode())
    os.close(writing)
    command = [sys.executable, "-m", "wormsig", "key", "show", str(path), "--passphrase-fd", str(reading)]
    done = subprocess.run(command, env=clean_env, pass_fds=(reading,), capture_output=True, text=True, check=True)
    os.close(reading)
    assert done.stdout == shown


def test_wrong_passphrases(wormsig: RunWormsig, tmp_path: Path) -> None:
    path, secret = locked(tmp_path / "a.key", "pw"), tmp_path / "passphrase"
    secret.write_text("planted-wrong-passphrase")
    failed = wormsig("key", "show", path, "--passphrase-file", secret)
    assert failed.returncode == 3
    assert "passphrase is wrong" in failed.stderr
    assert "planted" not in failed.stderr
    secret.write_text("\n")
    assert wormsig("key", "show", path, "--passphrase-file", secret).returncode == 2
    both = wormsig("key", "show", path, "--passphrase-file", secret, "--passphrase-fd", 0)
    assert both.returncode == 2
    nobody = wormsig("key", "show", path)
    assert nobody.returncode == 2
    assert "--passphrase-file" in nobody.stderr
    ignored = wormsig("key", "show", path, env={"WORMSIG_PASSPHRASE": "pw"})
    assert ignored.returncode == 2


def test_key_files_that_cannot_be_used(wormsig: RunWormsig, tmp_path: Path) -> None:
    missing = wormsig("key", "show", tmp_path / "missing.key")
    assert missing.returncode == 3
    path = tmp_path / "a.key"
    path.write_bytes(age_encrypt(b"x", "pw", said=25))
    heavy = wormsig("key", "show", path)
    assert heavy.returncode == 3
    assert "work factor is 25" in heavy.stderr
    path.write_bytes(encode_key(read_secret(ALICE.master.text(), Network.SIGNET)))
    plain = wormsig("key", "show", path)
    assert plain.returncode == 3
    assert "not encrypted" in plain.stderr
    other = wormsig("key", "show", locked(tmp_path / "b.key", "pw"), "--network", "regtest", "--passphrase-file", path)
    assert other.returncode == 3


def spawn(env: dict[str, str], *arguments: object) -> pexpect.spawn[str]:
    command = ["-m", "wormsig", *map(str, arguments)]
    return pexpect.spawn(sys.executable, command, env=env, encoding="utf-8", timeout=60)


def test_a_person_is_asked_twice_for_a_new_passphrase(clean_env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    child = spawn(clean_env, "key", "new", path, "--network", "signet")
    child.expect("New passphrase for a.key: ")
    child.sendline("one-thing")
    child.expect("Again, to be sure: ")
    child.sendline("another-thing")
    child.expect("do not match")
    child.expect("New passphrase for a.key: ")
    child.sendintr()
    child.expect("error: interrupted")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert not path.exists()


def test_a_person_is_asked_before_a_secret_is_shown(clean_env: dict[str, str], tmp_path: Path) -> None:
    path = locked(tmp_path / "a.key", "pw")
    child = spawn(clean_env, "key", "export", path)
    child.expect(r"Show the secret of .*\[y/N\] ")
    child.sendline("")
    child.expect("Nothing was shown")
    child.expect(pexpect.EOF)
    child = spawn(clean_env, "key", "export", path)
    child.expect(r"\[y/N\] ")
    child.sendline("y")
    child.expect("Passphrase for a.key: ")
    child.sendline("pw")
    child.expect(re.escape(ALICE.master.text()))
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_passphrase_is_not_echoed(clean_env: dict[str, str], tmp_path: Path) -> None:
    child = spawn(clean_env, "key", "show", locked(tmp_path / "a.key", "unseen-passphrase"))
    child.expect("Passphrase for a.key: ")
    child.sendline("unseen-passphrase")
    child.expect(pexpect.EOF)
    assert "unseen" not in child.before
    assert ALICE.key().expression() in child.before.replace("\r\n", "")
