from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, NoReturn

import pytest

from wormsig.errors import StorageError, UsageError
from wormsig.wallet import storage
from wormsig.wallet.storage import read_bounded, write_whole

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["hard links", "none"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, also on a file system without hard links, such as a USB stick's."""
    if request.param == "none":

        def refused(_source: Path, _target: Path) -> NoReturn:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(storage.os, "link", refused)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_is_private_and_whole(folder: Path) -> None:
    write_whole(folder / "a", b"content")
    assert (folder / "a").read_bytes() == b"content"
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o600
    assert names(folder) == ["a"]


def test_an_existing_file_is_replaced_only_with_force(folder: Path) -> None:
    write_whole(folder / "a", b"first")
    with pytest.raises(UsageError, match="exists"):
        write_whole(folder / "a", b"second")
    assert (folder / "a").read_bytes() == b"first"
    write_whole(folder / "a", b"third", force=True)
    assert (folder / "a").read_bytes() == b"third"
    assert names(folder) == ["a"]


def test_a_symlink_in_the_way_is_not_followed(folder: Path) -> None:
    (folder / "a").symlink_to(folder / "victim")
    with pytest.raises(UsageError, match="exists"):
        write_whole(folder / "a", b"content")
    assert names(folder) == ["a"]


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    def full(_source: Path, _target: Path) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", lambda descriptor: full(descriptor, descriptor))
    with pytest.raises(StorageError, match="No space left"):
        write_whole(folder / "a", b"content", force=force)
    assert names(folder) == []


def test_a_failing_rename_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_source: Path, _target: Path) -> NoReturn:
        raise OSError(errno.EACCES, "Permission denied")

    def no_links(_source: Path, _target: Path) -> NoReturn:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(storage.os, "link", no_links)
    monkeypatch.setattr(type(folder), "replace", refused)
    with pytest.raises(StorageError, match="Permission denied"):
        write_whole(folder / "a", b"content")
    assert names(folder) == []


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write_whole(tmp_path / "missing" / "a", b"")


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    assert read_bounded(tmp_path / "a", 10) == bytes(10)
    with pytest.raises(StorageError, match="larger than 9 bytes"):
        read_bounded(tmp_path / "a", 9)
