"""Where the words go: a full disk, a closed pipe, a stream that is not there, an encoding without our characters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pexpect
import pytest

from support.hostile import Scene, scene_of
from wormsig.psbt import codec
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.world import World

COINS = 2
LIMIT = 60
FULL = "error: cannot write to standard output: No space left on device"


@pytest.fixture
def pay(home: Path) -> Path:
    scene: Scene = scene_of()
    Registry(home / "wallets").save(scene.wallet)
    path = home / "pay.psbt"
    path.write_bytes(codec.serialize(scene.psbt()))
    return path


def wormsig(
    env: Mapping[str, str], *arguments: object, stdout: int | IO[bytes] = subprocess.PIPE, redirected: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """A command of its own, with any standard output; `redirected` is what a shell adds."""
    command = [sys.executable, "-m", "wormsig", *map(str, arguments)]
    if redirected:
        command = ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *command]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=env, timeout=LIMIT, check=False
    )


def to_full(env: Mapping[str, str], *arguments: object) -> tuple[int, list[str]]:
    with Path("/dev/full").open("wb") as full:
        done = wormsig(env, *arguments, stdout=full)
    return done.returncode, done.stderr.decode().splitlines()


def as_person(world: World, who: str, *arguments: object) -> tuple[int, list[str]]:
    return to_full(world[who].env, *arguments)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_standard_output_is_no_bug(
    clean_env: dict[str, str], home: Path, pay: Path, options: tuple[str]
) -> None:
    assert to_full(clean_env, "inspect", pay, "--wallet", "family", *options) == (9, [FULL])
    assert to_full(clean_env, "wallet", "list", *options) == (9, [FULL])
    assert to_full(clean_env, "--help") == (9, [FULL])
    assert not list(home.rglob("wormsig.log"))


def test_the_txid_of_what_was_broadcast_is_told_where_the_result_cannot_be(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    for file in (None, alice.home / "signed.psbt"):
        psbt = world.psbt()
        txid = codec.parse(psbt.read_bytes()).txid
        code, options = f"{700 + bool(file)}-guitarist-revenge-orca", ("-o", file) if file else ()
        receive = bob.start("receive", code, "--signer", bob.signer, "-y")
        arguments = ("send", psbt, "--to", "bob", "--signer", alice.signer, "--code", code, "-y", *options)
        exit_code, told = as_person(world, "alice", *arguments)
        assert (exit_code, told[-2:]) == (9, [FULL, f"hint: the transaction was broadcast: {txid}"]), told
        assert txid in world.node.rpc.call("getrawmempool")
        assert receive.wait() == 0
        assert file is None or codec.parse(file.read_bytes()).txid == txid
        assert as_person(world, "alice", "status", "--all") == (9, [FULL])
        assert as_person(world, "alice", "receipt") == (9, [FULL])


def in_a_terminal(env: Mapping[str, str], columns: int, *arguments: object) -> list[str]:
    """The lines on the screen of a command that fails, before the terminal breaks any."""
    child = pexpect.spawn(
        sys.executable, ["-m", "wormsig", *map(str, arguments)], env=dict(env), encoding="utf-8", timeout=LIMIT,
        dimensions=(50, columns),
    )  # fmt: skip
    shown: str = child.read()
    child.close()
    return shown.splitlines()


@pytest.mark.parametrize("columns", [40, 80, 90])
def test_a_failure_is_folded_at_words_in_a_terminal_and_one_line_in_a_pipe(
    clean_env: dict[str, str], home: Path, columns: int
) -> None:
    Registry(home / "wallets").save(scene_of().wallet)
    arguments = ("inspect", "nix", "--wallet", "famly")
    error, hint = wormsig(clean_env, *arguments).stderr.decode().splitlines()
    assert len(hint) > columns
    lines = in_a_terminal(clean_env, columns, *arguments)
    assert max(map(len, lines)) <= columns
    second = next(at for at, line in enumerate(lines) if line.startswith("hint: "))
    for one, folded in ((error, lines[:second]), (hint, lines[second:])):
        label = one.index(" ") + 1
        assert all(line[:label] == " " * label and line[label] != " " for line in folded[1:])
        assert " ".join(line.strip() for line in folded) == one
    assert any("`wormsig wallet list`" in line for line in lines)


def test_a_closed_pipe_is_quiet(clean_env: dict[str, str], pay: Path) -> None:
    done = wormsig(clean_env, "inspect", pay, "--wallet", "family", redirected="| head -1")
    assert (done.stdout, done.stderr) == ("family · 2 of 3 · wsh · regtest\n".encode(), b"")


def test_the_exit_code_stays_where_nothing_can_be_told(clean_env: dict[str, str], pay: Path) -> None:
    nowhere = ("2>/dev/full", "2>&-")
    assert [wormsig(clean_env, "inspect", "nix", redirected=redirected).returncode for redirected in nowhere] == [3, 3]
    done = wormsig(clean_env, "inspect", pay, "--wallet", "family", redirected="2>&- <&-")
    assert (done.returncode, done.stdout[:6]) == (0, b"family")
    assert wormsig(clean_env, "inspect", pay, "--wallet", "family", redirected=">/dev/full 2>&1").returncode == 9


def test_without_a_standard_output_nothing_is_begun(clean_env: dict[str, str], home: Path) -> None:
    done = wormsig(clean_env, "key", "new", home / "a.key", redirected=">&-")
    assert done.returncode == 9
    assert done.stderr.startswith(b"error: standard output is closed\n")
    assert not home.exists()


def test_characters_that_an_encoding_lacks_are_escaped(clean_env: dict[str, str], pay: Path) -> None:
    env = {**clean_env, "PYTHONIOENCODING": "ascii"}
    done = wormsig(env, "inspect", pay, "--wallet", "family")
    assert done.returncode == 0
    assert done.stdout.startswith(b"family \\xb7 2 of 3 \\xb7 wsh \\xb7 regtest\n")
    named = wormsig(env, "inspect", "t\N{LATIN SMALL LETTER O WITH DIAERESIS}")
    assert (named.returncode, named.stderr) == (3, b"error: cannot read t\\xf6: No such file or directory\n")
