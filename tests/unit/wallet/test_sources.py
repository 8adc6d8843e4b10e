from __future__ import annotations

import json

import pytest

from support.cosigners import make_wallet, people
from wormsig.bitcoin.network import Network
from wormsig.errors import DescriptorError
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.record import write_record
from wormsig.wallet.sources import join_branches, read_source

PEOPLE = people(3, "sources")
WALLET = make_wallet(PEOPLE, birth=1_700_000_000)
BODY = WALLET.descriptor[:-9]
RECEIVE, CHANGE = (with_checksum(BODY.replace("<0;1>", branch)) for branch in "01")


def wallet_of(data: str | bytes, network: Network | None = Network.REGTEST):
    raw = data.encode() if isinstance(data, str) else data
    return read_source(raw).wallet(network, name="w")


@pytest.mark.parametrize(
    "text",
    [
        WALLET.descriptor,
        BODY,
        f"\ufeff{WALLET.descriptor}\r\n",
        f"# our wallet\n\n{WALLET.descriptor}\n",
        f"{RECEIVE}\n{CHANGE}\n",
        f"{CHANGE}\n{RECEIVE}\n",
        f"{RECEIVE.split('#')[0]}\n{CHANGE}",
        with_checksum(RECEIVE.split("#")[0].replace("h/", "'/").replace("h]", "']")) + "\n" + CHANGE,
    ],
)
def test_forms_of_text(text: str) -> None:
    assert wallet_of(text).id == WALLET.id


def test_a_missing_checksum_is_noticed() -> None:
    assert read_source(WALLET.descriptor.encode()).has_checksum
    assert not read_source(BODY.encode()).has_checksum
    assert not read_source(f"{RECEIVE}\n{CHANGE[:-9]}".encode()).has_checksum


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (RECEIVE, RECEIVE),
        (CHANGE, CHANGE),
        (WALLET.descriptor, WALLET.descriptor),
        (RECEIVE, with_checksum(CHANGE.split("#")[0].replace("(2,", "(1,"))),
        (RECEIVE, with_checksum(CHANGE.split("#")[0].replace("/1/*", "/2/*"))),
        (RECEIVE, with_checksum(CHANGE.split("#")[0].replace("/1/*", "/0/*", 1))),
        (RECEIVE, with_checksum(make_wallet(people(3, "other")).descriptor[:-9].replace("<0;1>", "1"))),
    ],
)
def test_two_descriptors_that_are_not_one_wallet(first: str, second: str) -> None:
    with pytest.raises(DescriptorError, match="not the receive and the change branch"):
        join_branches(first, second)


def test_each_of_two_descriptors_has_its_checksum_checked() -> None:
    with pytest.raises(DescriptorError, match="wrong checksum"):
        join_branches(RECEIVE, CHANGE[:-1] + ("q" if CHANGE[-1] != "q" else "p"))


def test_a_record_brings_everything_and_the_caller_may_add() -> None:
    source = read_source(write_record(WALLET))
    wallet = source.wallet(name="mine")
    assert (wallet.id, wallet.name, wallet.network, wallet.birth) == (WALLET.id, "mine", Network.REGTEST, 1_700_000_000)
    assert [key.name for key in wallet.keys] == ["alice", "bob", "carol"]
    alice = PEOPLE[0].master.fingerprint
    renamed = source.wallet(name="mine", names={alice: "ali"}, birth=1_800_000_000)
    assert [key.name for key in renamed.keys] == ["ali", "bob", "carol"]
    assert renamed.birth == 1_800_000_000
    with pytest.raises(DescriptorError, match="is for regtest"):
        source.wallet(Network.SIGNET, name="mine")


def test_a_changed_record_is_refused() -> None:
    value = json.loads(write_record(WALLET))
    value["descriptor"] = make_wallet(people(3, "evil")).descriptor
    with pytest.raises(DescriptorError, match="was changed"):
        read_source(json.dumps(value).encode())


def core(**more: object) -> dict[str, object]:
    return {
        "wallet_name": "w",
        "descriptors": [
            {"desc": CHANGE, "timestamp": 1_700_000_100, "active": True, "internal": True, "range": [0, 99]},
            {"desc": RECEIVE, "timestamp": 1_700_000_000, "active": True, "internal": False, "range": [0, 99]},
            {"desc": "wpkh(02" + "11" * 32 + ")#x", "timestamp": 1, "active": False},
            {"desc": RECEIVE, "timestamp": 1, "active": False, "internal": False},
        ],
        **more,
    }


def test_what_bitcoin_core_lists() -> None:
    source = read_source(json.dumps(core()).encode())
    wallet = source.wallet(Network.REGTEST, name="w")
    assert (wallet.id, wallet.birth) == (WALLET.id, 1_700_000_000)
    unknown = core()
    unknown["descriptors"] = [{**entry, "timestamp": 1} for entry in core()["descriptors"]]  # type: ignore[union-attr]
    assert read_source(json.dumps(unknown).encode()).birth is None
    whole = {"descriptors": [{"desc": WALLET.descriptor, "timestamp": "now", "active": True}]}
    assert wallet_of(json.dumps(whole)).id == WALLET.id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\xff\xfe\x00",
        b"{}",
        b"[]",
        b"[1]",
        b"{",
        b'{"descriptors": []}',
        b'{"descriptors": [{"desc": 5}]}',
        b'{"descriptors": [{"desc": "wpkh(02)"}]}',
        b'{"a": 1, "a": 2}',
        b"[" * 60_000,
        f"{RECEIVE}\n{CHANGE}\n{RECEIVE}".encode(),
        json.dumps({"descriptors": [{"desc": RECEIVE}] * 3}).encode(),
    ],
)
def test_what_is_no_wallet(data: bytes) -> None:
    with pytest.raises(DescriptorError):
        wallet_of(data)


def test_s3_private_keys_in_any_form_are_refused_and_not_shown() -> None:
    private = PEOPLE[0].private_expression()
    secret = private.split("]")[1]
    with_secret = WALLET.descriptor[:-9].replace(PEOPLE[0].key().xpub.text(), secret)
    for data in (
        with_secret,
        json.dumps({"descriptors": [{"desc": with_secret}]}),
        f"{with_secret}\n{CHANGE}",
        private,
    ):
        with pytest.raises(DescriptorError, match="private key") as caught:
            read_source(data.encode())
        assert secret not in repr(caught.value) + str(caught.value.hint) + repr(caught.value.__context__)
