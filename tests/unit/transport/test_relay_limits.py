"""docs/limits.md says what a relay carries."""

from __future__ import annotations

import re
from pathlib import Path

from wormsig.ceremony.messages import CHUNK_BYTES
from wormsig.cli.commands.relay import command
from wormsig.psbt.limits import MAX_PEER_PSBT
from wormsig.transport.library import MAX_FRAME
from wormsig.transport.relay_server import RelayLimits

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"


def test_the_page_lists_every_limit_with_its_value() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## A relay")[2]
    told = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| (\d+) \|", section, re.MULTILINE)}
    assert told == {
        name: float(default)
        for name, default in zip(RelayLimits.__struct_fields__, RelayLimits.__struct_defaults__, strict=True)
    }


def test_what_wormsig_sends_fits() -> None:
    limits = RelayLimits()
    assert limits.message > MAX_FRAME
    pieces = -(-MAX_PEER_PSBT // CHUNK_BYTES)
    assert limits.mailbox_bytes > 2 * pieces * MAX_FRAME  # the PSBT, and it again with signatures


def test_the_files_to_deploy_name_options_that_exist() -> None:
    known = {name for param in command.params for name in param.opts}
    for file in ("wormsig-relay.service", "Containerfile"):
        text = (PAGE.parent / "deploy" / file).read_text(encoding="utf-8")
        started = "".join(
            line for line in re.split(r"(?<!\\)\n", text) if line.startswith(("ExecStart=", "ENTRYPOINT"))
        )
        options = set(re.findall(r"--[\w-]+", started))
        assert "--db" in options
        assert options <= known
