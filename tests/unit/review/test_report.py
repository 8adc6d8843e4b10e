"""What can be read off a report."""

from __future__ import annotations

import time

from msgspec.structs import replace

from support.ceremony import setting
from wormsig.bitcoin.secp import pubkey_of

SCENE = setting().scene
REPORT = SCENE.review(SCENE.psbt())


def test_keys_are_labelled_as_the_wallet_knows_them() -> None:
    label = REPORT.labeller()
    labels = {label(key.pubkey) for view in REPORT.inputs for key in view.keys}
    assert labels == {f"[{key.fingerprint.hex()}] {key.name}" for key in SCENE.wallet.keys}
    stranger = pubkey_of(bytes(31) + b"\x07").hex()
    assert label(stranger) == f"[{stranger[:8]}]"


def test_labels_of_many_inputs_take_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        views = [replace(REPORT.inputs[0], index=n, pubkeys=(n.to_bytes(33, "big"),), labels=((None, None),))
                 for n in range(count)]  # fmt: skip
        report = replace(REPORT, inputs=tuple(views))
        spent = []
        for _ in range(3):
            began = time.process_time()
            label = report.labeller()
            for view in views:
                label(view.keys[0].pubkey)
            spent.append(time.process_time() - began)
        return min(spent)

    assert seconds(8_000) < 30 * seconds(800)
