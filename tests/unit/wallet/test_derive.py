from __future__ import annotations

import threading

import pytest

from support.cosigners import make_wallet, people
from wormsig.bitcoin.network import Network
from wormsig.bitcoin.script import hash160, parse_multisig, sha256
from wormsig.errors import InputError
from wormsig.wallet.derive import MAX_HINTS, Deriver, locate
from wormsig.wallet.descriptor import parse_descriptor

PEOPLE = people(3, "derive")


@pytest.mark.parametrize("script_type", ["wsh", "sh-wsh", "sh"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_scripts_are_those_of_the_keys(script_type: str, is_sorted: bool) -> None:
    wallet = make_wallet(PEOPLE, script_type=script_type, is_sorted=is_sorted)
    made = Deriver(wallet).script(1, 77)
    expected = [key.xpub.derive((1, 77)).pubkey for key in wallet.keys]
    inner = made.witness if made.witness is not None else made.redeem
    assert inner is not None
    found = parse_multisig(inner)
    assert found is not None
    assert found.threshold == 2
    assert list(found.pubkeys) == (sorted(expected) if is_sorted else expected)
    assert list(made.origins) == expected
    assert [origin.path[-2:] for origin in made.origins.values()] == [(1, 77)] * 3
    assert [origin.path[:-2] for origin in made.origins.values()] == [key.origin.path for key in wallet.keys]
    assert [origin.fingerprint for origin in made.origins.values()] == [key.fingerprint for key in wallet.keys]
    outer = b"\x00\x20" + sha256(inner)
    if script_type == "wsh":
        assert (made.script_pubkey, made.redeem) == (outer, None)
    elif script_type == "sh-wsh":
        assert made.redeem == outer
        assert made.script_pubkey == b"\xa9\x14" + hash160(outer) + b"\x87"
    else:
        assert made.script_pubkey == b"\xa9\x14" + hash160(inner) + b"\x87"
    assert made.path == "1/77"


def test_btclib_derives_the_same_scripts() -> None:
    from btclib_wallet.descriptors import multipath_descriptors, parse  # noqa: PLC0415  slow to import

    for script_type in ("wsh", "sh-wsh", "sh"):
        for is_sorted in (True, False):
            wallet = make_wallet(people(4, "second opinion"), 3, script_type=script_type, is_sorted=is_sorted)
            deriver = Deriver(wallet)
            for branch, text in enumerate(multipath_descriptors(wallet.descriptor, "regtest")):
                theirs = parse(text, "regtest")
                for index in (1, 2**31 - 1):
                    (spk,), provider = theirs.expand(index)
                    mine = deriver.script(branch, index)
                    assert spk.script == mine.script_pubkey
                    assert spk.address == deriver.address(branch, index)
                    assert mine.witness is None or mine.witness in provider.scripts


def test_addresses_of_each_network() -> None:
    keys = make_wallet(PEOPLE).descriptor
    prefixes = {Network.REGTEST: "bcrt1q", Network.SIGNET: "tb1q", Network.TESTNET3: "tb1q", Network.TESTNET4: "tb1q"}
    for network, prefix in prefixes.items():
        assert Deriver(parse_descriptor(keys, network)).address(0, 0).startswith(prefix)


def test_batches_are_the_single_scripts() -> None:
    deriver = Deriver(make_wallet(PEOPLE))
    batch = deriver.scripts(0, range(5, 9))
    assert [script.index for script in batch] == [5, 6, 7, 8]
    assert batch[2] is deriver.script(0, 7)


@pytest.mark.parametrize("place", [(2, 0), (-1, 0), (0, -1), (0, 1 << 31), (1 << 31, 0)])
def test_places_that_no_wallet_has(place: tuple[int, int]) -> None:
    with pytest.raises(InputError):
        Deriver(make_wallet(PEOPLE)).script(*place)


def test_locate_takes_a_true_hint_whatever_its_index() -> None:
    wallet = make_wallet(PEOPLE)
    target = Deriver(wallet).script(1, 1_000_000)
    assert locate(Deriver(wallet), target.script_pubkey, [(1, 1_000_000)]) == target
    assert locate(Deriver(wallet), target.script_pubkey, [(1, 999_999)], limit=5) is None


def test_locate_never_believes_a_hint() -> None:
    wallet = make_wallet(PEOPLE)
    foreign = Deriver(make_wallet(people(3, "other"))).script(1, 4).script_pubkey
    assert locate(Deriver(wallet), foreign, [(1, 4)], limit=10) is None
    odd = [(2, 0), (0, 1 << 31), (-1, -1), (7, 7)]
    assert locate(Deriver(wallet), foreign, odd, limit=0) is None


def test_locate_searches_below_the_limit_with_a_wrong_hint_or_none() -> None:
    wallet = make_wallet(PEOPLE)
    target = Deriver(wallet).script(1, 14).script_pubkey
    for hints in ([], [(0, 14)]):
        found = locate(Deriver(wallet), target, hints, limit=15)
        assert found is not None
        assert found.path == "1/14"
        assert locate(Deriver(wallet), target, hints, limit=14) is None


@pytest.mark.parametrize("branch", [0, 1])
def test_search_begins_with_the_first_script(branch: int) -> None:
    wallet = make_wallet(PEOPLE)
    found = Deriver(wallet).search(Deriver(wallet).script(branch, 0).script_pubkey, 1)
    assert found is not None
    assert found.path == f"{branch}/0"


def test_search_goes_on_where_it_stopped() -> None:
    deriver = Deriver(make_wallet(PEOPLE))
    missing = b"\x00\x20" + bytes(32)
    assert deriver.search(missing, 10) is None
    assert deriver.place_of(deriver.script(0, 9).script_pubkey) == (0, 9)
    derived = dict(deriver._scripts)
    assert deriver.search(missing, 10) is None
    assert deriver._scripts == derived
    target = Deriver(deriver.wallet).script(0, 12).script_pubkey
    found = deriver.search(target, 20)
    assert found is not None
    assert found.path == "0/12"


def test_scripts_of_another_form_cost_no_search() -> None:
    deriver = Deriver(make_wallet(PEOPLE))
    for script in (
        b"",
        b"\x6a\x01\x00",
        b"\x00\x14" + bytes(20),
        b"\xa9\x14" + bytes(20) + b"\x87",
        b"\x51\x20" + bytes(32),
    ):
        assert locate(deriver, script, limit=1000) is None
    assert not deriver._scripts


def test_many_hints_are_cut_off() -> None:
    deriver = Deriver(make_wallet(PEOPLE))
    target = Deriver(deriver.wallet).script(0, 500).script_pubkey
    hints = [(0, index) for index in range(MAX_HINTS)] + [(0, 500)]
    assert locate(deriver, target, hints) is None
    assert len(deriver._scripts) == MAX_HINTS


def test_threads_share_one_deriver() -> None:
    deriver = Deriver(make_wallet(PEOPLE))
    alone = Deriver(deriver.wallet)
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i in range(60) if deriver.script(0, i) != alone.script(0, i))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
