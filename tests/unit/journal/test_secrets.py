from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from wormsig.errors import StorageError
from wormsig.journal.secrets import MAX_MARKS, ResumeSecrets

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = (bytes([fill]) * 32 for fill in (1, 2, 3))


def digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def again(kept: ResumeSecrets, *digests: str) -> ResumeSecrets:
    """The same file for the next process, which knows what its journal tells."""
    other = ResumeSecrets(kept._folder, "c", "bob")
    other.trust(digests)
    return other


@pytest.fixture
def kept(tmp_path: Path) -> ResumeSecrets:
    return ResumeSecrets(tmp_path / "resume", "c", "bob")


def test_the_newest_comes_first_and_some_are_kept_until_the_other_side_has_it(kept: ResumeSecrets) -> None:
    assert not kept.known()
    for secret in (b"\x0a" * 32, b"\x0b" * 32, FIRST, SECOND, THIRD):
        assert kept.keep(secret) == digest(secret)
    assert kept.secrets() == (THIRD, SECOND, FIRST, b"\x0b" * 32)
    assert again(kept, digest(THIRD), digest(SECOND)).secrets() == (THIRD, SECOND)
    kept.settle()
    kept.settle()
    assert kept.secrets() == (THIRD,)
    assert kept.known()


def test_the_one_that_the_other_side_has_is_not_pushed_out_by_meetings_that_came_to_nothing(
    kept: ResumeSecrets,
) -> None:
    kept.keep(FIRST)
    for number in range(10, 20):
        kept.shared(FIRST)
        kept.keep(bytes([number]) * 32)
        assert kept.secrets() == (bytes([number]) * 32, FIRST)
    kept.shared(THIRD)
    assert kept.secrets() == (bytes([19]) * 32, FIRST)


def test_keeping_the_same_again_changes_nothing(kept: ResumeSecrets) -> None:
    kept.keep(FIRST)
    kept.mark(FIRST, 3)
    kept.keep(FIRST)
    assert kept.secrets() == (FIRST,)
    assert list(kept.marked(FIRST)) == [3]


def test_marks_are_on_the_disk_with_their_time(tmp_path: Path) -> None:
    kept = ResumeSecrets(tmp_path, "c", "bob", now=lambda: 1_795_000_000.25)
    kept.keep(FIRST)
    kept.keep(SECOND)
    kept.mark(FIRST, 0)
    kept.mark(FIRST, 12)
    kept.mark(SECOND, 1)
    other = again(kept, digest(FIRST), digest(SECOND))
    assert other.marked(FIRST) == {0: 1_795_000_000.25, 12: 1_795_000_000.25}
    other.unmark(FIRST, 0)
    other.unmark(FIRST, 99)
    assert list(kept.marked(FIRST)) == [12]
    assert list(kept.marked(SECOND)) == [1]
    assert kept.marked(THIRD) == {}


def test_only_so_many_marks_are_kept(tmp_path: Path) -> None:
    times = iter(range(MAX_MARKS + 10))
    kept = ResumeSecrets(tmp_path, "c", "bob", now=lambda: float(next(times)))
    kept.keep(FIRST)
    for number in range(MAX_MARKS + 5):
        kept.mark(FIRST, number)
    assert sorted(kept.marked(FIRST)) == list(range(5, MAX_MARKS + 5)), "the newest"


def test_each_pair_has_a_file_of_its_own(tmp_path: Path) -> None:
    for ceremony, peer in (("c", "bob"), ("c", "carol"), ("d", "bob"), ("c\nb", "ob")):
        ResumeSecrets(tmp_path, ceremony, peer).keep(FIRST)
    assert len(list(tmp_path.iterdir())) == 4
    name = hashlib.sha256(b"c\nbob").hexdigest()
    assert (tmp_path / name).is_file()


def test_file_and_folder_are_for_the_owner_alone(kept: ResumeSecrets) -> None:
    before = os.umask(0)
    try:
        kept.keep(FIRST)
        kept.mark(FIRST, 0)
    finally:
        os.umask(before)
    assert stat.S_IMODE(kept._path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept._folder.stat().st_mode) == 0o700
    assert list(kept._folder.iterdir()) == [kept._path], "no other copy is left"


def test_removing_leaves_nothing_also_when_there_was_nothing(kept: ResumeSecrets) -> None:
    kept.remove()
    kept.keep(FIRST)
    kept._new.write_bytes(b"of a write that was interrupted")
    kept.remove()
    kept.remove()
    assert list(kept._folder.iterdir()) == []
    assert (kept.known(), kept.secrets(), kept.marked(FIRST)) == (False, (), {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        b'{"version":2,"secrets":[]}',
        b'{"version":1,"secrets":[],"more":1}',
        b'{"version":1,"secrets":[{"secret":"AQ==","marks":{}}]}',
        b'{"version":1,"secrets":[{"secret":"%s","marks":{"-1":0}}]}' % (b"AQEB" * 10 + b"AQE="),
        b'{"version":1,"secrets":[{"secret":"%s","marks":{"0":NaN}}]}' % (b"AQEB" * 10 + b"AQE="),
    ],
)
def test_a_damaged_file_is_no_secret_and_no_exception(kept: ResumeSecrets, content: bytes) -> None:
    kept.keep(FIRST)
    kept._path.write_bytes(content)
    assert (kept.known(), kept.secrets(), kept.marked(FIRST)) == (False, (), {})
    kept.settle()
    with pytest.raises(StorageError, match="gone"):
        kept.mark(FIRST, 0)
    kept.keep(SECOND)
    assert kept.secrets() == (SECOND,)


@pytest.mark.parametrize("size", range(0, 130, 7))
def test_a_file_cut_short_is_no_secret(kept: ResumeSecrets, size: int) -> None:
    kept.keep(FIRST)
    kept._path.write_bytes(kept._path.read_bytes()[:size].rstrip(b"}"))
    assert not kept.known()


def test_a_write_that_fails_leaves_what_was_there(kept: ResumeSecrets) -> None:
    kept.keep(FIRST)
    kept._new.mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        kept.keep(SECOND)
    with pytest.raises(StorageError, match="cannot be written"):
        kept.mark(FIRST, 0)
    assert kept.secrets() == (FIRST,)
    kept._new.rmdir()
    kept.keep(SECOND)


def test_what_cannot_be_a_folder_or_removed_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        ResumeSecrets(tmp_path / "file", "c", "bob").keep(FIRST)
    ResumeSecrets(tmp_path / "file", "c", "bob").remove()
    ResumeSecrets(tmp_path / "nowhere", "c", "bob").remove()
    kept = ResumeSecrets(tmp_path, "c", "bob")
    kept._path.mkdir()
    with pytest.raises(StorageError, match="cannot be removed"):
        kept.remove()


def test_a_secret_has_thirty_two_bytes(kept: ResumeSecrets) -> None:
    with pytest.raises(ValueError, match="32"):
        kept.keep(b"short")
