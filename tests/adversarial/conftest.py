"""The judge of every hostile PSBT: the finding is there, nobody approves, nothing is signed, and honesty passes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import pytest

from support.hostile import Scene, key_file, scene_of
from wormsig.cli.failure import report_failure
from wormsig.cli.main import cli
from wormsig.errors import ExitCode, RefusedError
from wormsig.psbt import codec
from wormsig.review.approve import approve
from wormsig.review.context import ReviewContext
from wormsig.review.findings import Code, Severity
from wormsig.review.review import review
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.psbt.model import Psbt
    from wormsig.review.report import Finding, Report

collect_ignore = [] if os.environ.get("WORMSIG_VECTORS") else ["test_c_public_vectors.py"]


@dataclass
class Judge:
    """A cosigner's machine with a wallet and a key, and what it does with what it is sent."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    scene: Scene
    commands_ran: bool = False
    said: str = ""
    """What the last command wrote to standard error."""

    def use(self, scene: Scene) -> Scene:
        """Another wallet than the usual one."""
        self.scene = scene
        Registry(self.folder / "home" / "wallets").save(scene.wallet, force=True)
        (self.folder / "alice.key").write_bytes(key_file(scene.people[0]))
        return scene

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command in this process: exit code and standard output."""
        self.capsys.readouterr()
        try:
            code: Any = cli.main([*arguments], prog_name="wormsig", standalone_mode=False)
        except (Exception, SystemExit, click.exceptions.Exit) as failure:  # noqa: BLE001  as `cli.main.main` does
            code = report_failure(failure)
        out, self.said = self.capsys.readouterr()
        return int(code or 0), out

    def _write(self, psbt: Psbt) -> str:
        path = self.folder / "in.psbt"
        path.write_bytes(codec.serialize(psbt))
        return str(path)

    def inspect(self, psbt: Psbt, *options: str) -> tuple[int, dict[str, Any]]:
        """`wormsig inspect --json` with the wallet: exit code and the object."""
        code, out = self.run("inspect", self._write(psbt), "--wallet", self.scene.wallet.name, "--json", *options)
        return code, json.loads(out)

    def signs(self, psbt: Psbt, *options: str) -> bool:
        """Whether `wormsig sign -y` writes a signed PSBT; the exit code must agree."""
        out = self.folder / "out.psbt"
        out.unlink(missing_ok=True)
        code, _ = self.run(
            "sign", self._write(psbt), "--wallet", self.scene.wallet.name,
            "--signer", f"key:{self.folder / 'alice.key'}", "-y", "-o", str(out), *options,
        )  # fmt: skip
        assert out.exists() == (code == ExitCode.DONE)
        assert code in {ExitCode.DONE, ExitCode.REFUSED}
        return out.exists()

    def report(self, psbt: Psbt, **context: Any) -> Report:
        """The review."""
        return review(psbt, self.scene.wallet, ReviewContext(**context), deriver=self.scene.deriver)

    def finds(self, psbt: Psbt, code: Code, *options: str, quick: bool = False, **context: Any) -> Finding:
        """Assert that an attack is found, refused as its severity asks, and not signed; the finding.

        The first attack of a test also goes through the commands, as a user would meet it, unless it is `quick`:
        they start with empty hands and search the whole wallet, which takes its time.
        """
        report = self.report(psbt, **context)
        found = [finding for finding in report.findings if finding.code is code]
        assert found, f"{code} is missing: {[str(f.code) for f in report.findings]}"
        assert found[0].where
        if code.severity is Severity.NOTICE:
            assert code in {finding.code for finding in report.notices}
            return found[0]
        self._assert_refused(report, psbt, code)
        if not context and not quick and not self.commands_ran:
            self.commands_ran = True
            self._assert_refused_by_command(psbt, code, options)
        return found[0]

    def _assert_refused(self, report: Report, psbt: Psbt, code: Code) -> None:
        with pytest.raises(RefusedError) as refusal:
            approve(psbt, report, self.scene.wallet, by="unattended")
        assert refusal.value.exit_code == ExitCode.REFUSED
        if code.severity is Severity.ERROR:
            for by in ("person", "policy"):
                with pytest.raises(RefusedError):
                    approve(psbt, report, self.scene.wallet, by=by, accept=set(Code))  # type: ignore[arg-type]

    def _assert_refused_by_command(self, psbt: Psbt, code: Code, options: tuple[str, ...]) -> None:
        exit_code, shown = self.inspect(psbt, *options)
        assert code in {finding["code"] for finding in shown["findings"]}
        if code.severity is Severity.ERROR:
            assert exit_code == ExitCode.REFUSED
        assert not self.signs(psbt, *options)

    def passes(self, psbt: Psbt, *options: str, quick: bool = False, **context: Any) -> None:
        """Assert that an honest PSBT has no finding at all, and is signed."""
        assert self.report(psbt, **context).findings == ()
        if not context and not quick:
            assert self.inspect(psbt, *options)[0] == ExitCode.DONE
            assert self.signs(psbt, *options)


@pytest.fixture
def judge(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Judge:
    """A cosigner of a 2-of-3 P2WSH wallet who signs whatever the review lets through."""
    monkeypatch.setenv("WORMSIG_HOME", str(tmp_path / "home"))
    for name in ("WORMSIG_NETWORK", "WORMSIG_WALLET", "WORMSIG_RPC_URL", "WORMSIG_RPC_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    judge = Judge(tmp_path, capsys, scene_of())
    judge.use(judge.scene)
    return judge


@pytest.fixture(params=["wsh", "sh-wsh", "tr"])
def scene(judge: Judge, request: pytest.FixtureRequest) -> Scene:
    """The judge's wallet: the usual one, nested in P2SH, and in a taproot leaf."""
    return judge.scene if request.param == judge.scene.script_type else judge.use(scene_of(request.param))


@pytest.fixture(params=["wsh", "sh-wsh"])
def segwit_v0(judge: Judge, request: pytest.FixtureRequest) -> Scene:
    """The same without taproot, where that has no such row or one of its own in test_c_taproot.py."""
    return judge.scene if request.param == judge.scene.script_type else judge.use(scene_of(request.param))
