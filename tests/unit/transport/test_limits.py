from __future__ import annotations

import pytest

from wormsig.errors import UsageError
from wormsig.transport.limits import Limits, limits_from_environment


def test_a_big_object_gets_the_time_it_needs() -> None:
    limits = Limits()
    assert limits.delivery(0) == limits.acknowledge
    assert limits.delivery(8 << 20) > 1000


def test_scripts_change_single_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORMSIG_LIMITS", raising=False)
    assert limits_from_environment() == Limits()
    monkeypatch.setenv("WORMSIG_LIMITS", "pairing=60, silence=2.5,")
    assert limits_from_environment() == Limits(pairing=60, silence=2.5)


@pytest.mark.parametrize(
    "text", ["pairing", "pairing=", "pairing=soon", "pairing=0", "close=-1", "x=1", "close=inf", "close=nan"]
)
def test_a_limit_is_a_positive_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORMSIG_LIMITS", text)
    with pytest.raises(UsageError, match="WORMSIG_LIMITS"):
        limits_from_environment()
