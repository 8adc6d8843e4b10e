from __future__ import annotations

import hashlib
import json
import stat
from typing import TYPE_CHECKING

import pytest

from support.cosigners import make_wallet, people
from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError, StorageError, UsageError
from wormsig.wallet import storage
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.names import check_wallet_name
from wormsig.wallet.record import to_record
from wormsig.wallet.registry import Registry, load_file

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.wallet.model import Wallet

PEOPLE = people(3, "registry")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "wallets")


@pytest.fixture
def wallet() -> Wallet:
    return make_wallet(PEOPLE, birth=1_700_000_000)


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_what_is_saved_is_loaded(registry: Registry, script_type: str, is_sorted: bool) -> None:
    wallet = make_wallet(PEOPLE, script_type=script_type, is_sorted=is_sorted, birth=1_700_000_000)
    registry.save(wallet)
    loaded = registry.load("family")
    assert loaded == wallet
    assert (loaded.id, loaded.descriptor) == (wallet.id, wallet.descriptor)


def test_files_are_private(registry: Registry, wallet: Wallet) -> None:
    registry.save(wallet)
    path = registry.directory / "family.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(registry.directory.stat().st_mode) == 0o700
    assert [path.name for path in registry.directory.iterdir()] == ["family.json"]


def test_an_existing_name_needs_force(registry: Registry, wallet: Wallet) -> None:
    registry.save(wallet)
    other = make_wallet(people(2, "x"), 1)
    with pytest.raises(UsageError, match="already"):
        registry.save(other)
    assert registry.load("family").id == wallet.id
    registry.save(other, force=True)
    assert registry.load("family").id == other.id


def test_names_all_and_remove(registry: Registry, wallet: Wallet) -> None:
    assert registry.names() == []
    assert registry.all() == ()
    registry.save(wallet)
    registry.save(make_wallet(PEOPLE, 3, name="Attic"))
    assert registry.names() == ["Attic", "family"]
    assert [kept.name for kept in registry.all()] == ["Attic", "family"]
    registry.remove("family")
    assert registry.names() == ["Attic"]
    for missing in (registry.load, registry.remove):
        with pytest.raises(UsageError, match="no wallet called family"):
            missing("family")


def change(registry: Registry, **fields: object) -> None:
    path = registry.directory / "family.json"
    value = json.loads(path.read_text())
    value.update(fields)
    path.write_text(json.dumps({name: field for name, field in value.items() if field is not Ellipsis}))


def test_s6_a_changed_descriptor_is_refused(registry: Registry, wallet: Wallet) -> None:
    registry.save(wallet)
    evil = make_wallet([*PEOPLE[:2], people(1, "evil")[0]])
    change(registry, descriptor=evil.descriptor)
    with pytest.raises(StorageError, match="was changed: its id is"):
        registry.load("family")


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "00" * 32},
        {"id": 5},
        {"descriptor": "wsh(sortedmulti(2,a,b))"},
        {"descriptor": ""},
        {"network": "mainnet"},
        {"network": "testnet"},
        {"names": []},
        {"names": {"zz": "bob"}},
        {"names": {"d34db33f": "bob"}},
        {"names": {"d34db33f": 5}},
        {"birth": "yesterday"},
        {"birth": True},
        {"birth": 1.5},
        {"birth": -1},
        {"name": "other"},
        {"format": 2},
        {"wormsig": "key"},
        {"more": 1},
        {"birth": ...},
    ],
)
def test_s6_other_changes_are_refused(registry: Registry, wallet: Wallet, fields: dict[str, object]) -> None:
    registry.save(wallet)
    change(registry, **fields)
    with pytest.raises(StorageError):
        registry.load("family")


def test_a_descriptor_out_of_canonical_form_is_refused(registry: Registry, wallet: Wallet) -> None:
    registry.save(wallet)
    for text in (wallet.descriptor[:-9], wallet.descriptor.replace("48h", "48'"), wallet.descriptor[:-1] + "q"):
        change(registry, descriptor=text)
        with pytest.raises(StorageError, match="changed"):
            registry.load("family")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":1,"a":2}', b" " * 70_000]
)
def test_damaged_files_are_refused(registry: Registry, wallet: Wallet, content: bytes) -> None:
    registry.save(wallet)
    (registry.directory / "family.json").write_bytes(content)
    with pytest.raises(StorageError):
        registry.load("family")
    registry.remove("family")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc/passwd",
        ".hidden",
        "a\0b",
        "a b",
        "a\nb",
        "a" * 41,
        "-x",
        "a..b",
        "\u202ea",
        "a\u0301",
    ],
)
def test_names_that_are_refused(registry: Registry, name: str) -> None:
    with pytest.raises(UsageError):
        check_wallet_name(name)
    with pytest.raises(UsageError):
        registry.load(name)


@pytest.mark.parametrize("name", ["family", "a", "2of3", "my-wallet_1.old", "família", "家族", "A" * 40])
def test_names_that_are_fine(registry: Registry, name: str) -> None:
    registry.save(make_wallet(PEOPLE, name=name))
    assert registry.load(name).name == name
    assert registry.names() == [name]


def test_m2_a_failed_write_leaves_nothing(registry: Registry, wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.save(make_wallet(PEOPLE, name="other"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    for force in (False, True):
        with pytest.raises(StorageError, match="No space left"):
            registry.save(wallet, force=force)
    assert [path.name for path in registry.directory.iterdir()] == ["other.json"]


def test_m2_a_symlink_in_the_way_is_not_followed(registry: Registry, wallet: Wallet, tmp_path: Path) -> None:
    registry.save(make_wallet(PEOPLE, name="other"))
    victim = tmp_path / "victim"
    (registry.directory / "family.json").symlink_to(victim)
    with pytest.raises(UsageError):
        registry.save(wallet)
    registry.save(wallet, force=True)
    assert not victim.exists()
    assert not (registry.directory / "family.json").is_symlink()


def test_storage_that_is_no_folder(tmp_path: Path, wallet: Wallet) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Registry(tmp_path / "file" / "wallets").save(wallet)
    assert Registry(tmp_path / "missing").names() == []


def test_load_file_takes_descriptors_and_records(tmp_path: Path, wallet: Wallet) -> None:
    plain = tmp_path / "desc.txt"
    plain.write_text(wallet.descriptor + "\n")
    assert load_file(plain, Network.REGTEST).id == wallet.id
    assert load_file(plain, Network.REGTEST).name == "desc"
    with pytest.raises(UsageError, match="does not say which"):
        load_file(plain)
    record = tmp_path / "record.json"
    record.write_text(json.dumps(to_record(wallet)))
    loaded = load_file(record)
    assert (loaded.id, loaded.network, loaded.birth) == (wallet.id, wallet.network, wallet.birth)
    assert loaded.key_named("alice") is not None
    with pytest.raises(DescriptorError, match="cannot read"):
        load_file(tmp_path / "missing")
    with pytest.raises(DescriptorError, match="for regtest, and the network is signet"):
        load_file(record, Network.SIGNET)


def test_s6_a_new_id_does_not_make_a_loose_descriptor_canonical(registry: Registry, wallet: Wallet) -> None:
    registry.save(wallet)
    body = wallet.descriptor[:-9]
    for text in (body, body.replace("48h", "48'"), with_checksum(body.replace("48h", "48'"))):
        change(registry, descriptor=text, id=hashlib.sha256(text.encode()).hexdigest())
        with pytest.raises(StorageError, match="not in canonical form"):
            registry.load("family")


def test_s2_a_record_with_a_key_twice_is_refused(registry: Registry) -> None:
    twice = make_wallet([PEOPLE[0], PEOPLE[1], PEOPLE[0]])
    registry.save(twice)
    with pytest.raises(StorageError, match="the same key"):
        registry.load("family")
