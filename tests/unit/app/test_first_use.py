from __future__ import annotations

import pytest

from wormsig.app.first_use import WORDS, about_the_public_relay
from wormsig.app.home import Home
from wormsig.app.settings import RelayOptions
from wormsig.cli.console import Console
from wormsig.cli.notices import tell_once
from wormsig.cli.options import PUBLIC_RELAY
from wormsig.transport import library

PUBLIC = RelayOptions((PUBLIC_RELAY,))


def test_options_and_transport_mean_the_same_public_relay() -> None:
    assert PUBLIC_RELAY == library.PUBLIC_RELAY


def test_it_is_said_once(tmp_path) -> None:
    home = Home(tmp_path / "home")
    assert about_the_public_relay(home, PUBLIC) == WORDS
    assert about_the_public_relay(home, PUBLIC) is None
    assert about_the_public_relay(Home(tmp_path / "somebody else's"), PUBLIC) == WORDS


@pytest.mark.parametrize(
    "options",
    [
        RelayOptions(("ws://relay.example.org:4000/v1",)),
        RelayOptions((PUBLIC_RELAY,), tor=True),
        RelayOptions((PUBLIC_RELAY,), launch_tor=True),
        RelayOptions((PUBLIC_RELAY,), tor_control_port="tcp:127.0.0.1:9051"),
    ],
)
def test_who_is_careful_already_is_told_nothing(tmp_path, options: RelayOptions) -> None:
    assert about_the_public_relay(Home(tmp_path), options) is None
    assert list(tmp_path.iterdir()) == []


def test_as_a_fall_back_it_counts_too(tmp_path) -> None:
    assert about_the_public_relay(Home(tmp_path), RelayOptions(("ws://relay.example.org/v1", PUBLIC_RELAY))) == WORDS


def test_a_home_that_cannot_be_written_stops_nobody(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    assert about_the_public_relay(Home(tmp_path / "file"), PUBLIC) == WORDS


def test_scripts_do_not_see_it_and_a_person_does_later(tmp_path, capsys) -> None:
    home = Home(tmp_path)
    for console in (Console(quiet=True), Console(as_json=True)):
        tell_once(console, home, PUBLIC)
        assert capsys.readouterr() == ("", "")
    tell_once(Console(), home, PUBLIC)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"{WORDS}\n"
    assert all(len(line) <= 80 for line in WORDS.splitlines())
    assert "wormsig relay" in WORDS.replace("\n", " ")
    assert "--tor" in WORDS
    tell_once(Console(), home, PUBLIC)
    assert capsys.readouterr() == ("", "")
