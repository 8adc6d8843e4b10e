from __future__ import annotations

import pytest

from support.hostile import scene_of
from support.values import replace
from wormsig.app.plan import cosigner_names, duration
from wormsig.errors import ExitCode, UsageError

WALLET = scene_of("wsh").wallet
NAMELESS = replace(WALLET, keys=tuple(replace(key, name=None) for key in WALLET.keys))


def test_everybody_but_our_own_signer_is_sent_a_code() -> None:
    own = WALLET.keys[0]
    names = cosigner_names(WALLET, (), None, frozenset({own.fingerprint}))
    assert names == tuple(key.name for key in WALLET.keys[1:])


@pytest.mark.parametrize("slip", ["bobb", "Bob", "boob", "bbo", "OBB", "carl", "carrol", "craol"])
def test_a_slip_of_the_pen_is_refused_with_the_name_that_may_be_meant(slip: str) -> None:
    meant = "carol" if slip.startswith("c") else "bob"
    with pytest.raises(UsageError, match=f"did you mean {meant}") as caught:
        cosigner_names(WALLET, (slip,), None, None)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("name", ["bob", "the accountant", "x"])
def test_any_other_name_is_ours_to_choose(name: str) -> None:
    assert cosigner_names(WALLET, (name,), None, None) == (name,)
    assert cosigner_names(NAMELESS, (name,), None, None) == (name,)


@pytest.mark.parametrize("wallet", [NAMELESS, None], ids=["nameless", "none"])
def test_without_names_in_the_wallet_nothing_is_a_slip(wallet: object) -> None:
    assert cosigner_names(wallet, ("bobb", "carl"), None, None) == ("bobb", "carl")


def test_durations() -> None:
    assert [duration(text) for text in (None, "90", "90s", "10m", "2h", "3d")] == [None, 90, 90, 600, 7200, 259200]
    for text in ("0", "soon", "-1s", "1w", "9" * 9):
        with pytest.raises(UsageError):
            duration(text)
