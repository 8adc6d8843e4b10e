"""A ceremony without a network: a tiny PSBT of a real wallet, its people's real signatures, the first events."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.hostile import Out, Scene
from wormsig.ceremony import coordinator, cosigner
from wormsig.psbt import codec, extractor, finalizer, verify
from wormsig.psbt.model import PARTIAL_SIG, Psbt, sha256

if TYPE_CHECKING:
    from wormsig.ceremony.coordinator import CoordinatorEvent, CoordinatorState

CEREMONY = "7f3a19" + "0" * 26


@dataclass(frozen=True)
class Setting:
    """A wallet, a PSBT of it, and what each of its people would return."""

    scene: Scene
    psbt: Psbt
    raw: bytes
    _signed: dict[tuple[str, ...], bytes] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(person.name for person in self.scene.people)

    def signed(self, *names: str) -> bytes:
        """The PSBT with these people's signatures."""
        if names not in self._signed:
            self._signed[names] = codec.serialize(self.scene.sign(self.psbt, *names))
        return self._signed[names]

    def final(self, *names: str) -> bytes:
        """The final transaction with these people's signatures."""
        verified = verify.verify(codec.parse(self.signed(*names)))
        return extractor.extract(finalizer.finalize(verified)).serialize()

    def half_signed(self, name: str, *, bad: bool = True) -> bytes:
        """Signed on the first input, and on the second one with a signature of the first (or not at all)."""
        signed = codec.parse(self.signed(name))
        first = next(value for key, value in signed.inputs[0].items() if key[0] == PARTIAL_SIG)
        second = {key: first if key[0] == PARTIAL_SIG else value for key, value in signed.inputs[1].items()}
        if not bad:
            second = {key: value for key, value in second.items() if key[0] != PARTIAL_SIG}
        return codec.serialize(signed.with_input(1, second))

    def badly_signed(self, name: str) -> bytes:
        """Signatures that belong to the other input."""
        signed = codec.parse(self.signed(name))
        sigs = [next(value for key, value in fields.items() if key[0] == PARTIAL_SIG) for fields in signed.inputs]
        maps = {
            index: {key: sigs[1 - index] if key[0] == PARTIAL_SIG else value for key, value in fields.items()}
            for index, fields in enumerate(signed.inputs)
        }
        return codec.serialize(signed.with_inputs(maps))

    def elsewhere(self, name: str) -> bytes:
        """Signed, but for a transaction that pays one satoshi less."""
        outputs = (Out(29_999_999), Out(170_000_000 - 2_000, place=(1, 0)))
        return codec.serialize(self.scene.sign(self.scene.psbt(outputs=outputs), name))

    def proposed(self, *cosigners: str, **changed: object) -> coordinator.Proposed:
        """The first event of a coordinator's ceremony."""
        fields: dict[str, object] = {
            "ceremony": CEREMONY,
            "network": "regtest",
            "wallet": self.scene.wallet.id,
            "wallet_name": "family",
            "psbt": self.raw,
            "threshold": self.scene.threshold,
            "cosigners": cosigners or ("bob", "carol"),
            "at": 1_795_000_000,
            "total": self.scene.count,
        }
        return coordinator.Proposed(**(fields | changed))  # type: ignore[arg-type]

    def begun(self, *cosigners: str, **changed: object) -> CoordinatorState:
        """A coordinator's state after the first event."""
        return coordinator.replay(coordinator.begin(self.proposed(*cosigners, **changed)))

    def received(self) -> cosigner.Received:
        """The first event on a cosigner's side."""
        return cosigner.Received(
            ceremony=CEREMONY,
            network="regtest",
            wallet=self.scene.wallet.id,
            wallet_name=None,
            psbt=self.raw,
            psbt_sha256=sha256(self.psbt),
            threshold=self.scene.threshold,
            at=1_795_000_000,
        )


@functools.cache
def setting(script_type: str = "wsh", threshold: int = 2, count: int = 3) -> Setting:
    """Two coins of a wallet, spent; made once for all tests."""
    scene = Scene(script_type, threshold, count, salt="ceremony")
    psbt = scene.psbt()
    return Setting(scene, psbt, codec.serialize(psbt))


def after(state: CoordinatorState, *events: CoordinatorEvent) -> CoordinatorState:
    """The state after further events."""
    for event in events:
        state = coordinator.evolve(state, event)
    return state


def answered(state: CoordinatorState, name: str | None, data: bytes) -> CoordinatorState:
    """The state after an answer, decided and evolved."""
    return after(state, *coordinator.decide(state, coordinator.Answer(name, data)))


def in_touch(state: CoordinatorState, *names: str) -> CoordinatorState:
    """The state after these cosigners got the PSBT."""
    for name in names:
        state = after(state, coordinator.Connected(name), coordinator.Offered(name))
    return state
