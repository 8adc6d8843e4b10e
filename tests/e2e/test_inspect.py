"""`wormsig inspect` as a process: every way to name a PSBT, both outputs, the exit codes."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from support.hostile import STRANGER, Out, Scene, edit_input, previous_tx, scene_of, with_output
from support.kinds import PEOPLE, kind
from wormsig.bitcoin.keys import KeyOrigin, parse_path
from wormsig.bitcoin.network import Network, address_of
from wormsig.bitcoin.tx import OutPoint, TxInput, TxOutput
from wormsig.psbt import codec, creator
from wormsig.wallet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunWormsig

MUSIG_WALLET = (
    "tr(musig([013f762b/87h/1h/0h]tpubDC8ZjjF1AhZYWtJ3ssGauTKcfPKSimqyGjb85dATAG4YkHKAfR3zJWzE3oJ2ZGNuAUxmnAv5hrq"
    "xuEyxf6YcsPj6YQv6gvAKYVif7qzm2Wi,[6dc8dddf/87h/1h/0h]tpubDC2Qn5ZBChbpqWegxf8bQkJCSQMqZTpXZ5urAoWFR2C9vawVdTt"
    "Mw41iqDhQkSX36Lw84CLK99zNhjkgptAipzBCUnAMVZaR4vyRrKsE3nV,[8d8935c3/87h/1h/0h]tpubDDM6GDyZw6hiDkwdTpdS1QM7nxT"
    "6M3yu7NvoLA2VRSvkJiRxmG9bura8w7UKYuSRPx7oPEBaqCoT9Ra8scLGAfEwER1eWJ52NQz35qdTXt3)/<0;1>/*)#d2062zq0"
)
MUSIG_FINAL = (
    "cHNidP8BAH0CAAAAAYNB20nXb4brSM+YH3fOP3KX1IAxpPheFvKE0rpXH59qAAAAAAD9////AoCNWwAAAAAAFgAUUAyGMJuoFJBGEJUwTUbD"
    "jLa0QkE1Bj0AAAAAACJRIHqQqMLEro1cQAJWOGOxZxH/FDRVbyCzPKr+oPkolJy3AAAAAAABASuAlpgAAAAAACJRIHCKFzowPQvgeEYrgZRi"
    "vAHpe0hV1wzKKP6U+0o9XqdbAQhCAUAUhvW87wAPDazjQQq9P9liF7VL/ZgBqaYmS8F6LWccPrYVKfrLsVvL15dENuZiM8HwM/7WHJDzU/3z"
    "UYq++ufSAAABBSDZ06k73d5lnd1Nu/rjOo1dms0KoubYSy1UBs24CC/sdiEHN+vB0wyjSETnytCQ4gxyaVydy/MxKIwcrFgddaHgz5QRAG3I"
    "3d9XAACAAQAAgAAAAIAhB3KL+N5uC/+9rJAT0OIUgQgSxdrMa3FEs7OM5mn7NK+LEQCNiTXDVwAAgAEAAIAAAACAIQfLBq9fHQ7G+B+IrpJH"
    "0SfcvXso5cfVz73cmF/Y+EufWBEAAT92K1cAAIABAACAAAAAgCEH2dOpO93eZZ3dTbv64zqNXZrNCqLm2EstVAbNuAgv7HYNAAjdq5EBAAAA"
    "AAAAACIIA75QfXK/A3lJ7RFbe1iYAXsIFb6b/mZHGaf9Lkl3sXs5YwJyi/jebgv/vayQE9DiFIEIEsXazGtxRLOzjOZp+zSviwM368HTDKNI"
    "ROfK0JDiDHJpXJ3L8zEojBysWB11oeDPlAPLBq9fHQ7G+B+IrpJH0SfcvXso5cfVz73cmF/Y+EufWAA="
)
"""Three people's MuSig2 wallet, and a PSBT that bitcoind signed and finalized for it."""


@pytest.fixture
def scene(home: Path) -> Scene:
    scene = scene_of()
    Registry(home / "wallets").save(scene.wallet)
    return scene


def test_a_review_for_people(wormsig: RunWormsig, scene: Scene, tmp_path: Path):
    path = tmp_path / "pay.psbt"
    path.write_bytes(codec.serialize(scene.sign(scene.psbt(), "bob")))
    done = wormsig("inspect", path, "--wallet", "family", check=True)
    assert done.stdout.startswith("family · 2 of 3 · wsh · regtest\nSpends   2.00000000 BTC")
    assert "bob  signed, verified" in done.stdout
    address = address_of(STRANGER, Network.REGTEST)
    assert address is not None
    assert " ".join(address[at : at + 4] for at in range(0, len(address), 4)) in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_standard_input_base64_and_environment_agree(wormsig: RunWormsig, scene: Scene, tmp_path: Path):
    raw = codec.serialize(scene.psbt())
    text = base64.b64encode(raw).decode()
    path = tmp_path / "pay.psbt"
    path.write_text(text + "\n")
    answers = [
        wormsig("inspect", "-", "--json", stdin=raw, env={"WORMSIG_WALLET": "family"}, check=True),
        wormsig("inspect", text, "--json", "--wallet", "family", "--network", "regtest", check=True),
        wormsig("inspect", path, "--json", "--wallet", "family", check=True),
    ]
    assert len({answer.stdout for answer in answers}) == 1
    report = json.loads(answers[0].stdout)
    assert report["wallet"] == "family"
    assert [output["kind"] for output in report["outputs"]] == ["payment", "change"]
    assert report["outputs"][1]["path"] == "1/0"
    assert {answer.stderr for answer in answers} == {""}


def test_errors_are_shown_and_exit_with_4(wormsig: RunWormsig, scene: Scene):
    lie = codec.serialize(with_output(scene.psbt(), 1, TxOutput(10_000, STRANGER)))
    shown = wormsig("inspect", "-", "--wallet", "family", stdin=lie)
    assert shown.returncode == 4
    assert "error C2  output 1 claims to be change" in shown.stdout
    assert shown.stderr.startswith("error: the review has ")
    asked = wormsig("inspect", "-", "--wallet", "family", "--json", stdin=lie)
    assert asked.returncode == 4
    assert "C2-fake-change" in {finding["code"] for finding in json.loads(asked.stdout)["findings"]}


def test_without_a_wallet_a_hint_says_what_it_would_add(wormsig: RunWormsig, scene: Scene):
    raw = codec.serialize(scene.psbt())
    done = wormsig("inspect", "-", "--network", "regtest", stdin=raw, check=True)
    assert "no wallet · regtest" in done.stdout
    assert "use --wallet" in done.stderr
    blind = wormsig("inspect", "-", stdin=raw, check=True)
    assert "network not known" in blind.stdout
    assert "use --network or --wallet" in blind.stderr
    assert wormsig("inspect", "-", "--quiet", stdin=raw, check=True).stderr == ""


def test_mainnet_paths_are_shown_with_mainnet_addresses(wormsig: RunWormsig, scene: Scene):
    pubkey = scene.people[0].master.neuter().pubkey
    origin = KeyOrigin(b"\x01\x02\x03\x04", parse_path("48h/0h/0h/2h/0/0"))
    main = edit_input(scene.psbt(outputs=[Out(199_998_000)]), 0, {b"\x06" + pubkey: origin.encode()})
    first = {b"\x06" + pubkey: origin.encode()}
    main = main.with_input(0, {**first, **{key: value for key, value in main.inputs[0].items() if key not in first}})
    report = json.loads(wormsig("inspect", "-", "--json", stdin=codec.serialize(main), check=True).stdout)
    assert report["network"] == "mainnet"
    assert report["outputs"][0]["address"] == address_of(STRANGER, Network.MAINNET)


def test_taproot_is_shown(wormsig: RunWormsig):
    coin = previous_tx(b"\x51\x20" + b"\x02" * 32, 100_000)
    psbt = creator.create([TxInput(OutPoint(coin.txid_bytes, 1))], [TxOutput(99_000, STRANGER)])
    psbt = edit_input(psbt, 0, {b"\x01": coin.outputs[1].serialize()})
    done = wormsig("inspect", "-", "--network", "regtest", "--json", stdin=codec.serialize(psbt), check=True)
    report = json.loads(done.stdout)
    assert report["inputs"][0]["script_type"] == "tr"
    assert report["findings"] == []
    assert report["fee_sats"] == 1_000


def test_musig_is_shown_and_not_supported_yet(wormsig: RunWormsig):
    psbt = Scene.of(kind("tr-musig"), PEOPLE).psbt()
    done = wormsig("inspect", "-", "--network", "regtest", "--json", stdin=codec.serialize(psbt))
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert len(report["inputs"][0]["musig2"][0]["participants"]) == 3
    assert "MuSig2" in done.stderr
    assert "Bitcoin Core can sign" in done.stderr
    assert "wormsig inspect" not in done.stderr  # it is what was just run


def test_without_a_wallet_a_key_of_several_is_said_to_be_one(wormsig: RunWormsig):
    psbt = codec.serialize(Scene.of(kind("tr-musig"), PEOPLE).psbt())
    shown = wormsig("inspect", "-", "--network", "regtest", stdin=psbt).stdout
    assert "1-of-1" not in shown
    assert shown.count("said to be made of the keys below") == 2


def test_an_error_comes_before_what_is_not_supported(wormsig: RunWormsig):
    greedy = Scene.of(kind("tr-musig"), PEOPLE).psbt(outputs=[Out(2_100_000_000_000_000)])
    done = wormsig("inspect", "-", "--network", "regtest", stdin=codec.serialize(greedy))
    assert done.returncode == 4
    assert "MuSig2" not in done.stderr


def test_musig_is_not_finalized_yet(wormsig: RunWormsig):
    psbt = Scene.of(kind("tr-musig"), PEOPLE).psbt()
    (participants,) = [value for key, value in psbt.inputs[0].items() if key[0] == 0x1A]
    key = participants[:33] + b"\x02" + psbt.inputs[0][b"\x17"]
    for given in (psbt, edit_input(psbt, 0, {b"\x1c" + key: bytes(31) + b"\x01"})):
        done = wormsig("finalize", "-", stdin=codec.serialize(given))
        assert (done.returncode, done.stdout) == (3, "")
        assert "input 0: MuSig2 can be shown, but not signed or checked yet" in done.stderr


def test_where_single_keys_can_spend_too_their_signatures_are_missing(wormsig: RunWormsig):
    psbt = Scene.of(kind("tr-internal-other"), PEOPLE).psbt()
    assert wormsig("finalize", "-", stdin=codec.serialize(psbt)).returncode == 7


def test_musig_that_is_final_is_judged_as_any_other(wormsig: RunWormsig):
    wormsig("wallet", "import", "mu", MUSIG_WALLET, "--network", "regtest", check=True)
    done = wormsig("inspect", MUSIG_FINAL, "--wallet", "mu", check=True)
    assert done.stderr == ""
    assert "[013f762b] and [6dc8dddf] and [8d8935c3]  signed, verified" in done.stdout
    assert "every input has the signatures that it needs" in done.stdout


def test_what_is_no_psbt_is_exit_3(wormsig: RunWormsig, tmp_path: Path):
    for argument, stdin in (("-", b"hello"), ("cHNidP8=", b""), (tmp_path / "missing.psbt", b"")):
        done = wormsig("inspect", argument, stdin=stdin)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("error: ")


def test_a_wallet_of_another_network_is_wrong_usage(wormsig: RunWormsig, scene: Scene):
    done = wormsig("inspect", "-", "--wallet", "family", "--network", "signet", stdin=codec.serialize(scene.psbt()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "regtest" in done.stderr
