"""`--timeout` ends a command that waits for nobody, on both sides, with an exit code that says so."""

from __future__ import annotations

import pytest

NOBODY = "ws://127.0.0.1:9/v1"  # the discard port: nobody listens


@pytest.fixture
def signer(wormsig, tmp_path):
    """A key file, in a wallet `pair` that is in the registry."""
    expressions = []
    for name in ("bob", "carol"):
        wormsig("key", "new", tmp_path / name, "--plain", "--network", "regtest", check=True)
        expressions.append(wormsig("key", "show", tmp_path / name, check=True).stdout.strip())
    descriptor = f"wsh(sortedmulti(2,{','.join(expressions)}))"
    wormsig("wallet", "import", "pair", descriptor, "--network", "regtest", check=True)
    return f"key:{tmp_path / 'bob'}"


def test_receive_gives_up_in_time(wormsig, signer):
    options = ["--wallet", "pair", "--signer", signer, "--relay-url", NOBODY, "--timeout", "1s", "-y"]
    done = wormsig("receive", "7-guitarist-revenge-orca", *options)
    assert done.returncode == 6
    assert done.stderr.splitlines() == [
        "error: time is up",
        "hint: nothing was received; ask the coordinator for a code",
    ]
    assert done.stdout == ""
