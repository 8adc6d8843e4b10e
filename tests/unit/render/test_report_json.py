from __future__ import annotations

import json

from support.hostile import edit_input, scene_of
from wormsig.render.report_json import report_object
from wormsig.render.sanitize import to_json
from wormsig.review.context import ReviewContext
from wormsig.review.review import review

SCENE = scene_of()


def test_the_object_has_exactly_the_documented_fields():
    report = report_object(SCENE.review(SCENE.sign(SCENE.psbt(fee=999), "carol")))
    assert list(report) == [
        "format", "network", "wallet", "psbt_version", "txid", "threshold", "policy", "signatures", "inputs",
        "outputs", "fee_sats", "vsize", "fee_rate", "net_outflow_sats", "locktime", "replaceable", "findings",
        "complete",
    ]  # fmt: skip
    assert list(report["signatures"][0]) == ["input", "pubkey", "fingerprint", "name", "valid"]
    assert list(report["inputs"][0]) == [
        "outpoint", "sats", "script_type", "mine", "path", "threshold", "keys", "sequence", "musig2"
    ]  # fmt: skip
    assert list(report["inputs"][0]["keys"][0]) == ["fingerprint", "name", "pubkey"]
    assert list(report["outputs"][0]) == ["index", "sats", "address", "script", "kind", "path"]


def test_amounts_are_integers_and_rates_decimal_strings():
    report = json.loads(to_json(report_object(SCENE.review(SCENE.psbt(fee=999)))), parse_float=_no_float)
    assert report["fee_sats"] == 999
    assert report["fee_rate"] == "3.41"
    assert report["vsize"] == 293
    assert report["net_outflow_sats"] == 30_000_999
    assert (report["format"], report["network"], report["wallet"], report["threshold"]) == (1, "regtest", "family", 2)
    assert report["replaceable"] is True
    assert report["complete"] is False


def _no_float(text: str) -> float:
    raise AssertionError(f"a float: {text}")


def test_names_stand_beside_the_wallets_keys():
    report = report_object(SCENE.review(SCENE.sign(SCENE.psbt(), "carol")))
    assert {key["name"] for key in report["inputs"][0]["keys"]} == {"alice", "bob", "carol"}
    assert [(one["input"], one["name"], one["valid"]) for one in report["signatures"]] == [
        (0, "carol", True),
        (1, "carol", True),
    ]
    script = SCENE.deriver.script(0, 0).witness
    assert script is not None
    order = [key["pubkey"] for key in report["inputs"][0]["keys"]]
    assert order == sorted(order, key=script.hex().index)


def test_without_wallet_and_network_nulls_say_so():
    report = report_object(review(SCENE.psbt(), None, ReviewContext()))
    assert report["network"] is None
    assert report["wallet"] is None
    assert report["net_outflow_sats"] is None
    assert report["threshold"] == 2  # all inputs have it in common
    assert [output["address"] for output in report["outputs"]] == [None, None]
    assert {key["name"] for key in report["inputs"][0]["keys"]} == {None}
    assert {key["fingerprint"] for key in report["inputs"][0]["keys"]} == {
        key.fingerprint.hex() for key in SCENE.wallet.keys
    }


def test_unknown_amounts_are_null():
    report = report_object(SCENE.review(edit_input(SCENE.psbt(), 0, {b"\x00": None, b"\x01": None})))
    assert report["inputs"][0]["sats"] is None
    assert report["fee_sats"] is None
    assert report["fee_rate"] is None


def test_a_findings_details_are_in_its_message():
    report = report_object(SCENE.review(edit_input(SCENE.psbt(), 0, {b"\x03": b"\x02\x00\x00\x00", b"\xe0": b"x"})))
    assert [finding["severity"] for finding in report["findings"]] == ["error", "notice"]
    assert list(report["findings"][0]) == ["code", "severity", "where", "message"]
    assert "; unknown type 0xe0" in report["findings"][1]["message"]
