"""What an unattended cosigner may be told beforehand, and what nobody may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile import scene_of
from wormsig.app.policy import check_recipients, load_policy
from wormsig.bitcoin.network import Network
from wormsig.errors import RefusedError, UsageError
from wormsig.review.context import ReviewContext
from wormsig.review.review import review

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.review.report import Report


@pytest.fixture
def report() -> Report:
    scene = scene_of("wsh")
    return review(scene.psbt(), scene.wallet, ReviewContext(network=Network.REGTEST))


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text)
    return path


def payee(report: Report) -> str:
    address = next(view.address for view in report.outputs if view.kind == "payment")
    assert address is not None
    return address


def test_a_policy_that_allows_it(tmp_path: Path, report: Report) -> None:
    text = f'format = 1\nmax_outflow_sats = {report.net_outflow_sats}\nrecipients = ["{payee(report)}"]\n'
    policy = load_policy(write(tmp_path, text))
    policy.check(report, Network.REGTEST)
    check_recipients(policy, Network.REGTEST)


def test_one_satoshi_too_much(tmp_path: Path, report: Report) -> None:
    assert report.net_outflow_sats is not None
    policy = load_policy(write(tmp_path, f"format = 1\nmax_outflow_sats = {report.net_outflow_sats - 1}\n"))
    with pytest.raises(RefusedError, match=f"{report.net_outflow_sats} sat would leave"):
        policy.check(report, Network.REGTEST)


def test_somebody_else_is_paid(tmp_path: Path, report: Report) -> None:
    other = next(view.address for view in report.outputs if view.kind == "change")
    policy = load_policy(write(tmp_path, f'format = 1\nrecipients = ["{other}"]\n'))
    with pytest.raises(RefusedError, match=payee(report)):
        policy.check(report, Network.REGTEST)


def test_accepted_warnings_become_codes(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, 'format = 1\naccept = ["C24-paid-before"]\n'))
    assert [code.value for code in policy.codes] == ["C24-paid-before"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('format = 1\naccept = ["C2-fake-change"]\n', "C2-fake-change"),
        ('format = 1\naccept = ["nonsense"]\n', "not the code of a finding"),
        ("format = 2\n", "not a policy"),
        ("format = 1\nmax_outflow_sats = 0.5\n", "not a policy"),
        ("format = 1\nmax_outflow = 5\n", "not a policy"),
        ("accept = []\n", "not a policy"),
        ("format = 1\nformat = 1\n", "not a policy"),
        ("\xff", "not a policy"),
    ],
)
def test_what_is_not_a_policy(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=words):
        load_policy(path)


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_policy(tmp_path / "nothing.toml")


def test_recipients_of_another_network_are_noticed_beforehand(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, 'format = 1\nrecipients = ["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"]\n'))
    with pytest.raises(UsageError, match="bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"):
        check_recipients(policy, Network.REGTEST)
