"""The estimated size against the weight of transactions that were really signed and finalized."""

from __future__ import annotations

import pytest

from support.hostile import BTC, Coin, Out, Scene
from support.kinds import PEOPLE, descriptors, kind
from wormsig.psbt import extractor, finalizer, verify
from wormsig.wallet.sizes import Spend, final_size

TEMPLATES = ["wsh", "wsh-multi", "sh-wsh", "sh", "tr-sortedmulti-a", "tr-multi-a", "tr-nums-xpub", "tr-pairs"]
MINISCRIPT = ["wsh-recovery", "wsh-same-keys-later", "wsh-or-b", "wsh-and-n", "wsh-wrappers", "sh-wsh-recovery"]
SIGNERS = {
    "wsh-or-b": ("alice", "carol"),
    "wsh-and-n": ("alice", "bob", "carol"),
    "wsh-wrappers": ("alice", "bob", "carol"),
    "tr-pairs": ("alice", "bob"),
}
COINS = [Coin(index=number) for number in range(5)]


def final_vsize(scene: Scene, psbt, *names: str) -> int:
    verified = verify.verify(scene.sign(psbt, *names))
    return extractor.extract(finalizer.finalize(verified)).vsize


@pytest.mark.parametrize("name", TEMPLATES + MINISCRIPT)
@pytest.mark.parametrize("coins", [1, 5])
def test_within_one_percent_of_the_final_transaction(name: str, coins: int) -> None:
    scene = Scene.of(kind(name), PEOPLE)
    psbt = scene.psbt(COINS[:coins], [Out(30_000_000), Out(coins * BTC - 30_002_000, place=(1, 0))])
    final = final_vsize(scene, psbt, *SIGNERS.get(name, ("alice", "bob")))
    estimated = scene.review(psbt).vsize
    assert estimated is not None
    assert abs(estimated - final) * 100 <= final, (estimated, final)


@pytest.mark.parametrize("name", TEMPLATES)
def test_half_signed_and_final_ones_too(name: str) -> None:
    scene = Scene.of(kind(name), PEOPLE)
    psbt = scene.psbt()
    signed = scene.sign(psbt, "alice", "bob")
    finalized = finalizer.finalize(verify.verify(signed))
    final = extractor.extract(finalized).vsize
    for each in (scene.sign(psbt, "alice"), signed, finalized):
        estimated = scene.review(each).vsize
        assert estimated is not None
        assert abs(estimated - final) * 100 <= final
    assert scene.review(finalized).vsize == final


def test_the_key_path_when_somebody_holds_it() -> None:
    scene = Scene.of(kind("tr-internal-member"), PEOPLE)
    psbt = scene.psbt()
    estimated = scene.review(psbt).vsize
    final = final_vsize(scene, psbt, "alice")
    assert estimated is not None
    assert abs(estimated - final) * 100 <= final
    by_leaf = scene.sign(psbt, "bob", "carol")
    assert abs((scene.review(by_leaf).vsize or 0) - final_vsize(scene, psbt, "bob", "carol")) <= 2


def test_every_kind_has_a_size() -> None:
    for name in descriptors():
        scene = Scene.of(kind(name), PEOPLE)
        script = scene.deriver.script(0, 0)
        opened = scene.psbt(locktime=1_900_000_000) if name == "wsh-or-i" else scene.psbt()
        if final_size(scene.wallet, script, Spend()) is not None:
            assert scene.review(opened).vsize, name


def test_c22_enough_is_decided_by_the_ways_that_are_open() -> None:
    scene = Scene.of(kind("wsh-recovery"), PEOPLE)
    psbt = scene.psbt()
    assert [view.satisfied for view in scene.review(scene.sign(psbt, "alice")).inputs] == [False, False]
    assert scene.review(scene.sign(psbt, "alice", "bob")).complete
