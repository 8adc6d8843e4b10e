"""The roles on files, as somebody uses them who takes the wrong file, the wrong pipe or the same key twice."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.hostile import Coin, Out, Scene, scene_of
from wormsig.psbt import codec
from wormsig.signers.keyfile import encode_key
from wormsig.signers.secret import from_extended_key
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import RunWormsig
    from wormsig.psbt.model import Psbt

FAMILY = ("--wallet", "family")


class Desk:
    """A folder with a PSBT, and everybody's key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene: Scene = scene_of()
        self.psbt = self.scene.psbt()
        self.pay = self.write("pay.psbt", self.psbt)
        self.labels = {
            person.name: f"[{person.master.fingerprint.hex()}] {person.name}" for person in self.scene.people
        }

    def write(self, name: str, psbt: Psbt | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(psbt if isinstance(psbt, bytes) else codec.serialize(psbt))
        return path

    def signed(self, *names: str) -> Path:
        return self.write(f"{'-'.join(names)}.psbt", self.scene.sign(self.psbt, *names))

    def key(self, name: str) -> str:
        (person,) = (each for each in self.scene.people if each.name == name)
        path = self.folder / f"{name}.key"
        path.write_bytes(encode_key(from_extended_key(person.master.text(), self.scene.wallet.network)))
        return f"key:{path}"


@pytest.fixture
def desk(home: Path, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    Registry(home / "wallets").save(desk.scene.wallet)
    return desk


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stderr.splitlines()


def test_sign_says_who_has_signed_and_who_has_not(wormsig: RunWormsig, desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "out.psbt"
    done = wormsig("sign", desk.signed("alice"), *FAMILY, "--signer", desk.key("bob"), "-y", "-o", out.name, check=True)
    assert f"Signed so far: {desk.labels['alice']}." in told(done)
    assert told(done)[-2:] == [f"{out.name}: {desk.labels['bob']} signed 2 inputs", "Complete."]

    first = wormsig("sign", desk.pay, *FAMILY, "--signer", desk.key("bob"), "-y", check=True)
    assert "Signed so far" not in first.stderr
    state = " ".join(told(first)[-2:])
    assert state.startswith(f"the PSBT: {desk.labels['bob']} signed 2 inputs 1 more signature needed. Not signed yet: ")
    assert desk.labels["alice"] in state
    assert desk.labels["carol"] in state


def test_who_signs_twice_is_told_that_nothing_is_new(wormsig: RunWormsig, desk: Desk) -> None:
    arguments = ("sign", desk.signed("alice"), *FAMILY, "--signer", desk.key("alice"), "-y")
    done = wormsig(*arguments, check=True)
    assert "the PSBT: nothing new: this key had signed already" in told(done)
    last = json.loads(wormsig(*arguments, "--json", check=True).stdout.splitlines()[-1])
    assert (last["signed"], last["complete"], last["missing"]) == ({}, False, {"0": 1, "1": 1})
    assert base64.b64decode(last["psbt"]) == base64.b64decode(done.stdout)


def test_a_signature_that_cannot_be_written_can_be_made_again(clean_env: dict[str, str], desk: Desk) -> None:
    command = [sys.executable, "-m", "wormsig", "sign", str(desk.pay), *FAMILY, "--signer", desk.key("bob"), "-y", "-q"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, env=clean_env, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 9
    error, hint = done.stderr.decode().splitlines()
    assert error == "error: cannot write to standard output: No space left on device"
    assert hint.startswith("hint: nothing is lost: sign again")
    again = subprocess.run(command, env=clean_env, capture_output=True, timeout=60, check=True)
    assert codec.parse(codec.from_any(again.stdout)).txid == desk.psbt.txid


def test_what_is_not_signed_unattended_is_told_with_what_sign_can_do(wormsig: RunWormsig, desk: Desk) -> None:
    dust = desk.write("dust.psbt", desk.scene.psbt(outputs=(Out(100), Out(199_990_000, place=(1, 0)))))
    done = wormsig("sign", dust, *FAMILY, "--signer", desk.key("bob"), "-y")
    assert (done.returncode, done.stdout) == (4, "")
    assert told(done)[-1].startswith("hint: look at it with `wormsig inspect`, then sign without -y;")


def test_combine_says_what_each_answer_is_and_what_comes_next(wormsig: RunWormsig, desk: Desk, tmp_path: Path) -> None:
    alice, bob, out = desk.signed("alice"), desk.signed("bob"), tmp_path / "out.psbt"
    letter = desk.write("letter.txt", b"Hello,\nhere it is: " + base64.b64encode(alice.read_bytes()))
    done = wormsig("combine", *(path.name for path in (desk.pay, desk.pay, alice, alice, letter)), *FAMILY)
    assert done.returncode == 5
    unsigned, new, known, wrong = told(done)[:4]
    assert unsigned == f"{desk.pay.name}: no signature in it"
    assert new == f"{alice.name}: {desk.labels['alice']} signed 2 inputs, verified"
    assert known == f"{alice.name}: nothing new: its 2 signatures were here already"
    assert wrong.startswith(f"{letter.name}: not taken: it is neither a PSBT nor base64 of one; base64 of a PSBT")
    assert " ".join(told(done)[4:-2]).startswith("1 more signature needed. Not signed yet: ")
    for name, argument in ((out, out), ("two words", "'two words'")):
        done = wormsig("combine", alice, bob, *FAMILY, "-o", name, check=True)
        assert told(done)[-1] == f"Complete; next: wormsig broadcast {argument}"


def test_an_output_that_is_not_there_cannot_be_paid_anyway(wormsig: RunWormsig, desk: Desk) -> None:
    for command in (("inspect",), ("sign", "--signer", desk.key("bob"), "-y")):
        done = wormsig(*command, desk.pay, *FAMILY, "--pay-anyway", "2")
        assert done.returncode == 2
        assert told(done)[-2:] == [
            "error: --pay-anyway: the transaction has no output 2",
            "hint: its outputs are numbered from 0 to 1",
        ]
        assert done.stdout == ""


def test_what_is_the_same_at_a_hundred_inputs_is_told_once(wormsig: RunWormsig, desk: Desk) -> None:
    psbt = desk.scene.psbt(coins=[Coin(index=index % 20) for index in range(100)])
    mine, bare = desk.write("mine.psbt", psbt), desk.scene.sign(psbt, "bob")
    for index, fields in enumerate(bare.inputs):
        bare = bare.with_input(index, {key: value for key, value in fields.items() if key[0] == 2})
    done = wormsig("combine", mine, desk.write("bare.psbt", bare), *FAMILY, check=True)
    dropped = [line for line in told(done) if "PSBT_IN_WITNESS_SCRIPT" in line]
    assert len(dropped) == 1
    assert dropped[0].endswith(
        "came back changed, ignored: input 0: PSBT_IN_WITNESS_SCRIPT dropped (and 99 more like it)"
    )
    assert len(told(done)) < 12
    everything = json.loads(wormsig("combine", mine, "bare.psbt", *FAMILY, "--json", check=True).stdout)
    assert len(everything["answers"][0]["ignored"]) >= 400


@pytest.mark.parametrize(
    ("content", "said", "advice"),
    [
        (lambda _: b"", "is empty", None),
        (lambda raw: raw + b"\n", ": has 1 byte after its last map", "something stands behind the PSBT"),
        (lambda raw: b"\xef\xbb\xbf" + raw, " is neither", "a PSBT begins further on in it"),
        (lambda raw: raw.hex().encode(), " is neither", "it is a PSBT in hex"),
        (lambda raw: base64.b64encode(raw).decode().encode("utf-16"), " is neither", "it is text in UTF-16"),
        (lambda raw: b'"' + base64.b64encode(raw) + b'"', " is neither", "stands further on"),
        (lambda raw: raw[:-9], ": output 1", "the PSBT ends in the middle"),
    ],
)  # fmt: skip
def test_a_file_that_is_nearly_a_psbt_is_named_with_what_to_do(
    wormsig: RunWormsig, desk: Desk, content: object, said: str, advice: str | None
) -> None:
    assert callable(content)
    path = desk.write("nearly", content(desk.pay.read_bytes()))
    for command in ("inspect", "finalize"):
        done = wormsig(command, path)
        assert (done.returncode, done.stdout) == (3, "")
        assert told(done)[0].startswith(f"error: {path}")
        assert said in told(done)[0]
        assert len(told(done)) == (1 if advice is None else 2)
        assert advice is None or advice in told(done)[1]


def test_base64_is_taken_with_a_byte_order_mark_and_with_space_before_it(wormsig: RunWormsig, desk: Desk) -> None:
    text = base64.encodebytes(desk.pay.read_bytes())
    marked = desk.write("marked.txt", b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    plain = wormsig("inspect", desk.pay, *FAMILY, check=True).stdout
    assert wormsig("inspect", marked, *FAMILY, check=True).stdout == plain
    assert wormsig("inspect", f"\n {text.decode()}", *FAMILY, check=True).stdout == plain


def test_a_long_argument_is_not_repeated_in_full(wormsig: RunWormsig, desk: Desk) -> None:
    done = wormsig("inspect", desk.pay.read_bytes().hex())
    assert done.returncode == 3
    assert told(done)[1] == "hint: base64 of a PSBT begins with cHNidP"
    assert len(told(done)[0]) < 100


def test_standard_input_is_given_once(wormsig: RunWormsig, desk: Desk) -> None:
    done = wormsig("combine", "-", "-", *FAMILY, stdin=desk.pay.read_bytes())
    assert (done.returncode, done.stdout) == (2, "")
    assert told(done)[0] == "error: standard input can be read only once"


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_nothing_but_a_regular_file_is_replaced(
    wormsig: RunWormsig, desk: Desk, tmp_path: Path, force: tuple[str, ...]
) -> None:
    device = tmp_path / "device"
    device.symlink_to("/dev/null")
    sign = ("sign", desk.pay, *FAMILY, "--signer", desk.key("bob"), "-y", *force)
    for target, said in ((device, f"{device} is not a regular file"), ("-", "- is no name for a file")):
        done = wormsig(*sign, "-o", target)
        assert (done.returncode, told(done)[0]) == (2, f"error: {said}")
    assert wormsig(*sign, "-o", "").returncode == 2
    assert device.readlink() == Path("/dev/null")
    assert not (tmp_path / "-").exists()


def piped(env: Mapping[str, str], *arguments: object) -> int:
    """The exit code of a command whose standard output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        command = [sys.executable, "-m", "wormsig", *map(str, arguments)]
        done = subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert b"error: this is a bug" not in done.stderr
    return done.returncode


def test_a_closed_pipe_changes_no_exit_code(clean_env: dict[str, str], desk: Desk) -> None:
    wrong = desk.scene.psbt(fee=150_000_000, coins=[Coin(index=index % 20) for index in range(100)])
    path = desk.write("wrong.psbt", wrong)
    rate = ("--max-fee-rate", "1")
    assert piped(clean_env, "inspect", path, *FAMILY, *rate) == 4
    assert piped(clean_env, "inspect", path, *FAMILY, *rate, "--json") == 4
    assert piped(clean_env, "inspect", desk.pay, *FAMILY, "--json") == 0
    assert piped(clean_env, "sign", desk.pay, *FAMILY, "--signer", desk.key("bob"), "-y", "-q") == 0
    assert piped(clean_env, "convert", desk.pay, "--psbt-version", "2") == 0


def test_an_address_that_is_wrong_is_named(wormsig: RunWormsig, desk: Desk) -> None:
    assert desk.pay.exists()
    done = wormsig("create", *FAMILY, "--to", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4:0.1", "--fee-rate", "4")
    assert done.returncode == 3
    assert told(done)[0].startswith("error: --to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4: address is for mainnet")


UNPRIVILEGED = "-dac_override,-dac_read_search"


def without_privileges(env: Mapping[str, str], *arguments: object) -> tuple[int, list[str]]:
    """A command to which permissions mean something, also where the tests run as root."""
    command = [sys.executable, "-m", "wormsig", *map(str, arguments)]
    if os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={UNPRIVILEGED}", f"--inh-caps={UNPRIVILEGED}", *command]
    done = subprocess.run(
        command, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.decode().splitlines()


def test_what_the_system_does_not_let_us_use_is_named_and_no_bug(
    clean_env: dict[str, str], desk: Desk, home: Path, tmp_path: Path
) -> None:
    shut = tmp_path / "shut"
    shut.mkdir()
    inspect = ("inspect", desk.pay, *FAMILY)
    assert without_privileges(clean_env, *inspect)[0] == 0
    (home / "journal").mkdir(exist_ok=True)
    shut.chmod(0)
    for target in (shut / "out.psbt", "x" * 300):
        code, lines = without_privileges(clean_env, "convert", desk.pay, "--psbt-version", "2", "-o", target)
        assert (code, len(lines)) == (9, 1)
        assert lines[0].startswith(f"error: cannot write {str(target)[:40]}")
    for folder, reason in (("wallets", "cannot read"), ("journal", "cannot use")):
        (home / folder).chmod(0)
        code, lines = without_privileges(clean_env, *inspect)
        (home / folder).chmod(0o700)
        assert code == 9
        assert lines[0].startswith(f"error: {reason} {home / folder}")
        assert lines[0].endswith(": Permission denied")
    assert not (home / "log").exists()


def test_a_wallet_option_that_is_no_wallet_is_told_what_it_is(wormsig: RunWormsig, desk: Desk) -> None:
    letter = desk.write("letter", b"\xff\xfe")
    for given, said in (
        (letter, f"{letter}: the wallet is not text"),
        ("wsh(multi(1,tprv8ZgxM/0/*))", "--wallet takes a name or a file, and this is a descriptor"),
        ("x" * 300, f"there is no wallet '{'x' * 40}…'"),
    ):
        done = wormsig("inspect", desk.pay, "--wallet", given)
        assert told(done)[0] == f"error: {said}"
        assert done.returncode == (3 if given == letter else 2)
