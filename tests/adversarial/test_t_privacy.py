"""THREATS T8: everything that a relay's operator gets to see in a whole ceremony, read byte by byte."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from support.stage import Stage, act, events_named, finished
from wormsig.ceremony import wire
from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.psbt.model import partial_sigs
from wormsig.transport.library import APPID
from wormsig.transport.relay_server import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.node.regtest import RegtestNode

# What the protocol between a client and its relay consists of; nothing of ours is added to it.
SAID = {
    "bind": {"appid", "side", "client_version"},
    "allocate": set[str](),
    "claim": {"nameplate"},
    "release": {"nameplate"},
    "open": {"mailbox"},
    "add": {"phase", "body"},
    "close": {"mailbox", "mood"},
}
KNOWN_HEADERS = {
    "user-agent",
    "host",
    "upgrade",
    "connection",
    "pragma",
    "cache-control",
    "sec-websocket-key",
    "sec-websocket-version",
}
OVERHEAD = 40  # of the encryption


@pytest.fixture(scope="module")
def stage(node: RegtestNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(node, tmp_path_factory.mktemp("stage")) as running:
        yield running


class Operator:
    """Reads along."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[bytes] = []
        self.requests: list[dict[str, str]] = []
        hear, connect = Visitor.onMessage, Visitor.onConnect

        def on_message(visitor: Any, payload: bytes, binary: bool) -> None:
            self.heard.append(payload)
            hear(visitor, payload, binary)

        def on_connect(visitor: Any, request: Any) -> None:
            self.requests.append(dict(request.headers))
            connect(visitor, request)

        monkeypatch.setattr(Visitor, "onMessage", on_message)
        monkeypatch.setattr(Visitor, "onConnect", on_connect)

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.heard]

    def everything(self) -> bytes:
        """As it came, and what is in hex in it."""
        bodies = [bytes.fromhex(message["body"]) for message in self.messages() if "body" in message]
        return b"\n".join([*self.heard, *bodies, json.dumps(self.requests).encode()])

    def in_the_open(self) -> bytes:
        """What is neither encrypted nor random: a name of three letters may stand in that by chance."""
        messages = [{key: value for key, value in message.items() if key != "body"} for message in self.messages()]
        headers = [{key: value for key, value in each.items() if key != "sec-websocket-key"} for each in self.requests]
        return json.dumps([messages, headers]).encode()


@act
async def test_t8_in_a_whole_ceremony_the_relay_sees_no_psbt_no_name_and_sizes_only_by_class(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Operator(monkeypatch)
    psbt = stage.psbt()
    send = stage.send(psbt, "--to", "bob", "--to", "carol")
    receiving = [stage.receive(name, await send.code(name)) for name in ("bob", "carol")]
    done = await send.ends(ExitCode.DONE)
    for process in receiving:
        await finished(process, ExitCode.DONE)
    final = bytes.fromhex(done["transaction"])
    codes = [event["code"] for event in events_named(send.process, "code-ready")]

    nothing_but_the_protocol(operator)
    seen = operator.everything().lower()
    words = [*stage.people, stage.scene.wallet.name, stage.scene.wallet.id, "psbt", "proposal", "broadcast"]
    words += [code.partition("-")[2] for code in codes]
    open_part = operator.in_the_open().lower()
    for word in words:
        assert word.lower().encode() not in open_part, word
        assert (word if len(word) > 3 else json.dumps(word)).lower().encode() not in seen, word
    txid = bytes.fromhex(done["txid"])
    signatures = partial_sigs(stage.sign(psbt, "bob"), 0).values()
    for raw in (codec.serialize(psbt), final, *signatures, txid, txid[::-1]):
        for form in (raw, raw.hex().encode(), base64.b64encode(raw).lower()):
            for start in range(0, min(len(form), 4_000) - 24, 24):
                assert form[start : start + 24] not in seen


def nothing_but_the_protocol(operator: Operator) -> None:
    """Every field is one that the library's protocol has, and holds what it has to hold."""
    messages = operator.messages()
    assert len([message for message in messages if message["type"] == "add"]) > 20
    for message in messages:
        fields = set(message) - {"type", "id"}
        assert fields <= SAID[message["type"]], message["type"]
        if message["type"] == "bind":
            assert re.fullmatch(f"{APPID}(/[0-9a-f]{{40}})?", message["appid"])
            assert re.fullmatch("[0-9a-f]{10}", message["side"])
            assert message["client_version"][0] == "python"  # the library's, not ours
        if message["type"] == "add":
            assert re.fullmatch("pake|version|[0-9]+", message["phase"])
            if message["phase"].isdigit():
                assert len(message["body"]) // 2 - OVERHEAD in wire.BUCKETS
    for request in operator.requests:
        assert set(request) <= KNOWN_HEADERS


@act
async def test_t8_two_psbts_of_like_size_look_alike(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who knows the sizes of two payments cannot tell which of them was sent."""
    seen = []
    for coins in (2, 3):
        operator = Operator(monkeypatch)
        psbt = stage.psbt(coins)
        send = stage.send(psbt, "--to", "bob", "--to", "carol")
        receiving = [stage.receive(name, await send.code(name)) for name in ("bob", "carol")]
        for process in (*receiving, send.process):
            await finished(process, ExitCode.DONE)
        sizes = [len(one["body"]) for one in operator.messages() if one["type"] == "add" and one["phase"].isdigit()]
        seen.append((len(codec.serialize(psbt)), set(sizes)))
        monkeypatch.undo()
    (small, sizes), (large, others) = seen
    assert large - small > 400
    assert sizes == others
