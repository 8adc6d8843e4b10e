"""THREATS, section M: what this machine's other users, its logs and its disk get to see of a signer's secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from twisted.internet.threads import deferToThread

from support.agefile import age_encrypt
from support.stage import Stage, act, error_line, finished, together
from wormsig.errors import ExitCode
from wormsig.psbt import codec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.node.regtest import RegtestNode
    from wormsig.psbt.model import Psbt

PASSPHRASE = "planted-Passphrase-8f1e77"
WRONG = "planted-Wrong-One-5ac310"


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        for person in running.people.values():
            locked = age_encrypt((person.folder / "person.key").read_bytes(), PASSPHRASE)
            (person.folder / "locked.key").write_bytes(locked)
            (person.folder / "right").write_text(f"{PASSPHRASE}\n")
            (person.folder / "wrong").write_text(f"{WRONG}\n")
        yield running


def psbt_file(stage: Stage, psbt: Psbt) -> Path:
    path = stage.folder / f"{psbt.txid}.psbt"
    path.write_bytes(codec.serialize(psbt))
    return path


def planted(stage: Stage) -> list[bytes]:
    """Everything of a key file, and everything that opens one, as it could show up anywhere."""
    found = [PASSPHRASE.encode(), WRONG.encode()]
    for person in stage.scene.people:
        origin = person.key().origin.path
        for key in (person.master, person.master.derive(origin), person.master.derive((*origin, 0, 0))):
            found += [key.text().encode(), key.seckey, key.seckey.hex().encode(), key.seckey.hex().upper().encode()]
    return found


def written(stage: Stage) -> list[Path]:
    """Every file that a command may have written; key files and passphrase files are where they belong."""
    known = {"person.key", "locked.key", "right", "wrong"}
    return [path for path in stage.folder.rglob("*") if path.is_file() and path.name not in known]


def search(stage: Stage, *texts: bytes) -> None:
    secrets = planted(stage)
    for text in (*texts, *(path.read_bytes() for path in written(stage))):
        for secret in secrets:
            assert secret not in text


# M1: secrets nowhere.


@act
async def test_m1_no_secret_in_outputs_journal_log_process_list_or_files(stage: Stage) -> None:
    psbt = stage.psbt()
    path = psbt_file(stage, psbt)
    alice, bob = stage["alice"], stage["bob"]
    locked = f"key:{bob.folder / 'locked.key'}"
    send = stage.send(
        psbt,
        "--to",
        "bob",
        "--signer",
        f"key:{alice.folder / 'locked.key'}",
        "--passphrase-file",
        alice.folder / "right",
        fresh=True,  # it is in the list of processes under its own name
    )
    code = await send.code("bob")
    words = code.partition("-")[2].encode()
    listed = [process_list(send.process.process.pid)]
    receive = stage.start(
        "bob", "receive", code, "-y", "--signer", locked, "--passphrase-file", bob.folder / "right", "-o", "bob.psbt"
    )
    fails = [
        ("sign", path, "-y", "--signer", locked, "--passphrase-file", bob.folder / "wrong"),
        ("sign", path, "-y", "--signer", f"key:{bob.folder / 'right'}"),
        ("receive", "no-code", "-y", "--signer", locked, "--passphrase-file", bob.folder / "right"),
    ]
    commands = [stage.start("bob", *arguments) for arguments in fails]
    await send.ends(ExitCode.DONE)
    await finished(receive, ExitCode.DONE)
    for command, expected in zip(commands, (ExitCode.INPUT, ExitCode.INPUT, ExitCode.TRANSPORT), strict=True):
        await finished(command, expected)
    assert (bob.folder / "bob.psbt").exists()
    outputs = ["\n".join((*process.out, *process.err)).encode() for process in stage.processes]
    search(stage, *outputs, *listed)
    # Neither is the code kept: whoever reads the journal later learns no word of it.
    for journal in stage.folder.rglob("*.sqlite3*"):
        assert words not in journal.read_bytes()


def process_list(pid: int) -> bytes:
    """What every user of the machine sees of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@act
async def test_m1_a_bug_in_the_middle_of_signing_writes_no_secret_to_the_log(stage: Stage) -> None:
    """The signer crashes with a message that quotes its key: only the traceback's places are written down."""
    person = stage["carol"]
    crash = (
        "import wormsig.signers.software as s\n"
        "def sign(self, approved):\n"
        "    raise RuntimeError(open('person.key').read())\n"
        "s.SoftwareKey.sign = sign\n"
        "from wormsig.cli.main import main\n"
        "main()\n"
    )
    arguments = ["sign", str(psbt_file(stage, stage.psbt())), "-y", "--signer", person.signer]
    done = await deferToThread(
        subprocess.run,
        [sys.executable, "-c", crash, *arguments],
        env=person.env,
        cwd=person.folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == ExitCode.BUG
    assert done.stderr.decode().count("error: this is a bug in wormsig (RuntimeError)") == 1
    log = person.folder / "home" / "log" / "wormsig.log"
    assert "in sign" in log.read_text()
    search(stage, done.stdout, done.stderr, log.read_bytes())


def test_m1_there_is_no_option_that_takes_a_secret_on_the_command_line(stage: Stage) -> None:
    for name in ("send", "receive", "sign", "key new", "key import", "key show"):
        shown = subprocess.run(
            [sys.executable, "-m", "wormsig", *name.split(), "--help"],
            capture_output=True,
            text=True,
            env=stage["alice"].env,
            check=True,
        ).stdout
        assert "--passphrase-file" in shown
        assert "--passphrase " not in shown
        assert "--passphrase TEXT" not in shown


# M2: files.


@act
async def test_m2_everything_is_0600_whatever_the_umask(stage: Stage) -> None:
    folder = stage.folder / "open"
    folder.mkdir()
    env = {**stage["alice"].env, "WORMSIG_HOME": str(folder / "home")}
    psbt = stage.psbt()
    mine = psbt_file(stage, psbt)
    full = folder / "full.psbt"
    full.write_bytes(codec.serialize(stage.sign(psbt, "bob", "carol")))
    full.chmod(0o600)

    async def run(*arguments: object) -> None:
        done = await deferToThread(
            subprocess.run,
            [sys.executable, "-m", "wormsig", *map(str, arguments)],
            env=env,
            cwd=folder,
            capture_output=True,
            umask=0,
            input=stage.scene.wallet.descriptor.encode(),
            check=False,
        )
        assert done.returncode == 0, done.stderr

    await run("wallet", "import", stage.scene.wallet.name, "-")
    await together(
        run("key", "new", "new.key", "--plain", "--network", "regtest"),
        run("sign", mine, "-y", "--signer", stage["alice"].signer, "-o", "signed.psbt"),
        run("combine", mine, full, "-o", "combined.psbt"),
        run("finalize", full, "-o", "final.psbt"),
        run("send", full, "--to", "bob", "-y", "--no-broadcast", "-o", "sent.psbt"),
    )
    names = {path.name for path in folder.iterdir()}
    assert {"new.key", "signed.psbt", "combined.psbt", "final.psbt", "sent.psbt", "home"} <= names
    assert (folder / "home" / "journal" / "ceremonies.sqlite3").exists()
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@act
async def test_m2_the_journal_is_0600_while_it_is_written(stage: Stage) -> None:
    send = stage.send(stage.psbt(), "--to", "bob", "--to", "carol")
    await send.code("bob")
    files = list((stage["alice"].folder / "home" / "journal").rglob("*"))
    assert any(path.name.endswith("-wal") for path in files)
    for path in files:
        assert path.stat().st_mode & 0o077 == 0, path
    send.process.process.terminate()
    await send.ends(ExitCode.TERMINATED)


@act
async def test_m2_an_output_that_is_a_symlink_is_refused_and_never_followed(stage: Stage) -> None:
    psbt = stage.psbt()
    path = psbt_file(stage, psbt)
    person = stage["alice"]
    precious = stage.folder / "precious"
    precious.write_bytes(b"precious")

    async def refused(name: str, target: Path) -> None:
        link = person.folder / name
        link.symlink_to(target)
        command = stage.start("alice", "sign", path, "-y", "--signer", person.signer, "-o", link)
        await finished(command, ExitCode.USAGE)
        assert link.is_symlink()

    async def replaced() -> None:
        link = person.folder / "forced"
        link.symlink_to(precious)
        command = stage.start("alice", "sign", path, "-y", "--signer", person.signer, "-o", link, "--force")
        await finished(command, ExitCode.DONE)
        assert not link.is_symlink()  # the link itself gave way, not what it points to
        assert codec.parse(link.read_bytes()) == stage.sign(psbt, "alice")

    missing = stage.folder / "nowhere"
    await together(refused("link", precious), refused("dangling", missing), replaced())
    assert precious.read_bytes() == b"precious"
    assert not missing.exists()


@act
async def test_m2_killed_while_writing_leaves_the_old_file_or_none(stage: Stage) -> None:
    """Killed when half of the bytes are on the disk, and again right before the file gets its name."""
    person = stage["alice"]
    command = ["sign", str(psbt_file(stage, stage.psbt())), "-y", "--signer", person.signer]
    half = (
        "import os\n"
        "real = os.fdopen\n"
        "def fdopen(fd, *mode, **how):\n"
        "    if '.psbt.' in os.readlink(f'/proc/self/fd/{fd}'):\n"
        "        os.write(fd, b'psbt')\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return real(fd, *mode, **how)\n"
        "os.fdopen = fdopen\n"
    )
    late = "import os\ndef fsync(fd):\n    os.kill(os.getpid(), 9)\nos.fsync = fsync\n"
    run = "from wormsig.cli.main import main\nmain()\n"

    async def killed(when: str, name: str, before: bytes | None, *more: str) -> None:
        out = person.folder / name
        if before is not None:
            out.write_bytes(before)
        done = await deferToThread(
            subprocess.run,
            [sys.executable, "-c", when + run, *command, "-o", str(out), *more],
            env=person.env,
            cwd=person.folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode == -9, done.stderr
        assert (out.read_bytes() if out.exists() else None) == before
        for left in person.folder.glob(f".{name}.*"):
            assert left.stat().st_mode & 0o077 == 0

    await together(
        killed(half, "half.psbt", None),
        killed(late, "late.psbt", None),
        killed(half, "kept.psbt", b"old", "--force"),
        killed(late, "safe.psbt", b"old", "--force"),
    )


@act
async def test_m2_a_file_that_cannot_be_written_is_exit_9_and_the_txid_is_told_first(stage: Stage) -> None:
    """The folder goes away while the ceremony runs: the txid is not lost with the file."""
    out = stage["alice"].folder / "away"
    out.mkdir()
    psbt = stage.psbt()
    send = stage.send(psbt, "--to", "bob", "--to", "carol", "-o", out / "sent.psbt")
    for name in ("bob", "carol"):
        peer = await send.join(name)
        await peer.proposal()
        if name == "carol":
            os.rmdir(out)  # noqa: PTH106  it must be empty
        await peer.answer(stage.sign(psbt, name))
        peer.listen()
    await finished(send.process, ExitCode.STORAGE)
    last = send.process.events()[-1]
    assert (last["event"], last["txid"], last["broadcast"]) == ("done", psbt.txid, True), send.process.err
    assert stage.in_mempool(psbt.txid)


@act
async def test_m2_a_ceremony_that_failed_says_why_also_when_its_file_cannot_be_written(stage: Stage) -> None:
    out = stage["alice"].folder / "gone"
    out.mkdir()
    send = stage.send(stage.psbt(), "--to", "bob", "-o", out / "sent.psbt", "--timeout", "4s")
    await send.join("bob")
    os.rmdir(out)  # noqa: PTH106  it must be empty
    await finished(send.process, ExitCode.THRESHOLD)
    assert "time is up" in error_line(send.process)
    assert any(f"the folder of {out / 'sent.psbt'} does not exist" in line for line in send.process.err)
    assert send.process.events()[-1]["event"] == "failed"
