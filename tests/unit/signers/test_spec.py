from __future__ import annotations

import pytest

from wormsig.errors import NotSupportedError, UsageError
from wormsig.signers.spec import SignerSpec, parse_spec


@pytest.mark.parametrize(
    ("text", "kind", "argument"),
    [("key:a.key", "key", "a.key"), ("key:C:/x:y", "key", "C:/x:y"), ("core:alice", "core", "alice")],
)
def test_signers(text: str, kind: str, argument: str) -> None:
    assert parse_spec(text) == SignerSpec(kind, argument)  # type: ignore[arg-type]
    assert str(parse_spec(text)) == text


@pytest.mark.parametrize("text", ["", "key", "key:", "core", "core:", "alice.key", "KEY:x", ":x", "seed:x"])
def test_what_is_no_signer(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    assert "key:FILE or core:WALLET" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["hwi", "hwi:d34db33f", "file", "file:dir", "cmd:sign %s"])
def test_signers_that_come_later(text: str) -> None:
    with pytest.raises(NotSupportedError, match="not supported as signers yet") as caught:
        parse_spec(text)
    assert "key:FILE" in str(caught.value.hint)
