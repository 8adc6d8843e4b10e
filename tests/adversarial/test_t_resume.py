"""T7: the secret by which two sides find each other again is a bearer credential."""

from __future__ import annotations

import base64
import hashlib
import logging
import stat
from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.logger import globalLogPublisher

from support.wormholes import both, handed_over, proposal, sleep
from wormsig.errors import StorageError
from wormsig.journal.secrets import ResumeSecrets
from wormsig.transport.connector import Connector
from wormsig.transport.limits import Limits
from wormsig.transport.places import meeting_place
from wormsig.transport.relay import start_relay
from wormsig.transport.rendezvous import Rendezvous

if TYPE_CHECKING:
    from pathlib import Path

SECRET, THEIRS = bytes(range(32)), bytes(range(100, 132))
LIMITS = Limits(connect=5, meeting=0.5, stagger=0.3, replay=0.4, close=0.5)


def everything_of(secret: bytes) -> list[str]:
    """Whatever gives the secret away, as text."""
    places = [meeting_place(secret, number) for number in range(4)]
    words = [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], places[0].appid.rpartition("/")[2]]
    return words + [part for place in places for part in place.code.split("-")]


@pytest_twisted.ensureDeferred
async def test_t7_the_secret_is_in_its_file_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    relay, told = await start_relay(reactor), []
    globalLogPublisher.addObserver(watching := lambda event: told.append(repr(sorted(event.items()))))
    caplog.set_level(logging.DEBUG)
    sides = {}
    for role in ("coordinator", "cosigner"):
        kept = ResumeSecrets(tmp_path / role, "7f3a", "peer")
        digest = kept.keep(SECRET)
        sides[role] = Rendezvous(Connector(reactor, relay.url, role=role, limits=LIMITS), kept)
        told += [repr(kept), repr(kept._read()), repr(sides[role]), digest, str(vars(sides[role]))]
    alice, bob = await both(*(side.meet() for side in sides.values()))
    await handed_over(alice, bob, proposal(b"psbt"), b"psbt")
    told += [repr(alice), repr(meeting_place(SECRET, 0))]
    await both(alice.close(), bob.close())
    await sleep(0.2)
    waiting = ensureDeferred(sides["coordinator"].meet())
    await relay.stop()
    await sleep(0.5)
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    kept.remove()
    with pytest.raises(StorageError) as caught:
        await sides["cosigner"].meet()
    told += [repr(caught.value), str(caught.value.hint)]
    globalLogPublisher.removeObserver(watching)
    out, err = capfd.readouterr()
    text = "\n".join([out, err, caplog.text, *told])
    assert [each for each in everything_of(SECRET) if each in text] == []
    assert out == err == ""


def test_t7_nobody_else_can_read_the_file_and_it_is_gone_at_the_end(tmp_path: Path) -> None:
    kept = ResumeSecrets(tmp_path / "resume", "7f3a", "bob")
    kept.keep(SECRET)
    kept.mark(SECRET, 0)
    (path,) = (tmp_path / "resume").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "bob" not in path.name
    assert "7f3a" not in path.name
    kept.remove()
    assert list((tmp_path / "resume").iterdir()) == []


def test_t7_an_old_secret_is_gone_from_the_disk_once_it_is_replaced(tmp_path: Path) -> None:
    kept = ResumeSecrets(tmp_path, "7f3a", "bob")
    kept.keep(SECRET)
    kept.keep(THEIRS)
    kept.settle()
    assert kept.secrets() == (THEIRS,)
    (path,) = tmp_path.iterdir()
    other = ResumeSecrets(tmp_path, "7f3a", "bob")
    other.trust([hashlib.sha256(secret).hexdigest() for secret in (SECRET, THEIRS)])
    assert other.secrets() == (THEIRS,)
    assert len(path.read_bytes()) < 150


def test_t7_a_file_that_was_swapped_or_edited_gives_no_secret(tmp_path: Path) -> None:
    ours = ResumeSecrets(tmp_path / "ours", "7f3a", "bob")
    theirs = ResumeSecrets(tmp_path / "theirs", "7f3a", "bob")
    digest = ours.keep(SECRET)
    theirs.keep(THEIRS)
    theirs._path.replace(ours._path)
    for kept in (ours, ResumeSecrets(tmp_path / "ours", "7f3a", "bob")):
        kept.trust([digest])
        assert not kept.known()
        assert kept.secrets() == ()
        assert kept.marked(THEIRS) == {}
        with pytest.raises(StorageError):
            kept.mark(THEIRS, 0)
    # And what is kept next to it later does not bring it in.
    ours.keep(SECRET)
    assert ours.secrets() == (SECRET,)
    fresh = ResumeSecrets(tmp_path / "ours", "7f3a", "bob")
    assert not fresh.known(), "nothing is used that no journal names"


def test_t7_a_link_is_not_followed_neither_for_reading_nor_for_writing(tmp_path: Path) -> None:
    kept = ResumeSecrets(tmp_path / "resume", "7f3a", "bob")
    kept.keep(SECRET)
    elsewhere = tmp_path / "elsewhere"
    kept._path.replace(elsewhere)
    before = elsewhere.read_bytes()
    kept._path.symlink_to(elsewhere)
    assert not kept.known()
    kept._new.symlink_to(elsewhere)
    kept.keep(THEIRS)
    assert elsewhere.read_bytes() == before
    assert not kept._path.is_symlink()
    assert kept.secrets() == (THEIRS,)
    kept.remove()
    (tmp_path / "resume").rmdir()
    (tmp_path / "resume").symlink_to(tmp_path / "others", target_is_directory=True)
    (tmp_path / "others").mkdir()
    with pytest.raises(StorageError, match="not a folder"):
        kept.keep(SECRET)
    assert list((tmp_path / "others").iterdir()) == []
