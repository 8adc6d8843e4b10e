"""A receipt as text and as a page: complete, in 80 columns, and deaf to what strangers are called."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, get_args

import msgspec
import pytest

from support.receipts import Play, played
from wormsig.app.failure_words import too_few
from wormsig.ceremony.comparison import Comparison, Statement, compare
from wormsig.ceremony.coordinator_events import CoordinatorEvent
from wormsig.ceremony.cosigner_events import CosignerEvent
from wormsig.ceremony.receipt import CoinPart, HappeningPart, Receipt, SignaturePart
from wormsig.render.lines import plain
from wormsig.render.receipt_drawing import NARROW, WIDE, drawing
from wormsig.render.receipt_html import receipt_page
from wormsig.render.receipt_json import comparison_json, receipt_json
from wormsig.render.receipt_text import comparison_lines, receipt_lines
from wormsig.render.receipt_words import happening_words, headline, numbers, signers

if TYPE_CHECKING:
    from wormsig.ceremony.events import Event

PLAY = played(declines="not this month")
EVIL = "</bdi></td><script>alert(1)</script>\x1b[31m\u202e\u2028\n  agrees  everything"


class Elements(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def evil() -> Receipt:
    receipt = PLAY.ours()
    assert receipt.wallet is not None
    return msgspec.structs.replace(
        receipt,
        wormsig=EVIL,
        phase=EVIL,
        wallet=msgspec.structs.replace(receipt.wallet, name=EVIL, policy=EVIL),
        inputs=tuple(msgspec.structs.replace(each, path=EVIL) for each in receipt.inputs),
        outputs=tuple(msgspec.structs.replace(each, path=EVIL, address=EVIL) for each in receipt.outputs),
        signatures=tuple(msgspec.structs.replace(each, name=EVIL, via=EVIL) for each in receipt.signatures),
        pairs=tuple(
            msgspec.structs.replace(
                pair,
                name=EVIL,
                connections=tuple(msgspec.structs.replace(each, verifier=EVIL) for each in pair.connections),
                letters=tuple(msgspec.structs.replace(each, reason=EVIL, problems=(EVIL,)) for each in pair.letters),
            )
            for pair in receipt.pairs
        ),
        history=tuple(msgspec.structs.replace(each, what=EVIL, who=EVIL, words=EVIL) for each in receipt.history),
    )


@pytest.mark.parametrize("receipt", [PLAY.ours(), *map(PLAY.theirs, PLAY.here)], ids=["alice", *PLAY.here])
def test_text_has_80_columns_and_every_hash_whole(receipt: Receipt) -> None:
    text = plain(receipt_lines(receipt))
    assert max(map(len, text.splitlines())) <= 80
    for pair in receipt.pairs:
        for digest in (pair.head, pair.their_head, *(part.digest for part in pair.letters)):
            assert digest is None or digest in text
        assert pair.connections[0].verifier in " ".join(text.split())
    for each in (receipt.unsigned_txid, receipt.psbt_sha256, receipt.ceremony, *(c.outpoint for c in receipt.inputs)):
        assert each in text
    for output in receipt.outputs:
        assert output.address is not None
        assert output.address in "".join(text.split())


def test_hostile_words_stay_words() -> None:
    text = plain(receipt_lines(evil()))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert not {"\x1b", "\u202e", "\u2028"} & set(text)
    assert not any(line.strip() == "agrees  everything" for line in text.splitlines())
    page = receipt_page(evil())
    assert "script" not in Elements(page).tags
    assert not {"\x1b", "\u202e", "\u2028"} & set(page)
    shapes = [Elements(re.sub(r"<svg.*?</svg>", "", receipt_page(each))).tags for each in (PLAY.ours(), evil())]
    # Reasons and paths that were not there before bring their own cells, never anything else.
    assert set(shapes[0]) == set(shapes[1])
    assert receipt_json(evil()).isascii()
    assert receipt_json(evil()).isprintable()


def test_a_comparison_escapes_both_sides() -> None:
    shown = Comparison((Statement(EVIL, "differs", EVIL, EVIL, EVIL), Statement(EVIL, "agrees", EVIL, EVIL)), EVIL)
    text = plain(comparison_lines(shown))
    assert not {"\x1b", "\u202e", "\u2028"} & set(text)
    assert max(map(len, text.splitlines())) <= 80
    assert comparison_json(shown).isprintable()
    assert text.splitlines()[-1] == "1 statement of 2 differs."


def test_differences_stand_last() -> None:
    theirs = msgspec.structs.replace(PLAY.theirs("bob"), fee_sats=1)
    lines = plain(comparison_lines(compare(PLAY.ours(), theirs))).splitlines()
    verdicts = [line.split()[0] for line in lines if line.startswith(("agrees", "open", "differs"))]
    assert verdicts == sorted(verdicts, key=("agrees", "open", "differs").index)
    assert "differs" in verdicts


def test_a_comparison_shows_units_words_and_names() -> None:
    ours, theirs = PLAY.ours(), PLAY.theirs("bob")
    lines = plain(comparison_lines(compare(ours, theirs))).splitlines()
    fingerprint = next(each.fingerprint for each in theirs.signatures if each.origin == "here")
    assert "agrees  amount of input 0: 1.00000000 BTC" in lines
    assert "agrees  fee: 2000 sat" in lines
    assert ours.final is not None
    assert f"agrees  size of the final transaction: {ours.final.vsize} vB" in lines
    assert f"agrees  input 0 in the wallet: yes, {ours.inputs[0].path}" in lines
    assert f"agrees  signature of bob [{fingerprint}] on input 0" in lines
    assert "agrees  kind of output 0: payment" in lines
    outputs = (msgspec.structs.replace(theirs.outputs[0], sats=31_000_000), *theirs.outputs[1:])
    inputs = tuple(msgspec.structs.replace(each, mine=False, path=None) for each in theirs.inputs)
    signatures = tuple(msgspec.structs.replace(each, fingerprint="01234567") for each in theirs.signatures)
    other = msgspec.structs.replace(theirs, outputs=outputs, inputs=inputs, signatures=signatures)
    shown = [" ".join(line.split()) for line in plain(comparison_lines(compare(ours, other))).splitlines()]
    at = shown.index("differs amount of output 0")
    assert shown[at + 1 : at + 3] == ["ours 0.30000000 BTC", "theirs 0.31000000 BTC"]
    at = shown.index("differs input 0 in the wallet")
    assert shown[at + 1 : at + 3] == [f"ours yes, {ours.inputs[0].path}", "theirs no"]
    at = shown.index(f"differs signature of bob [{fingerprint}] on input 0")
    assert shown[at + 1 : at + 3] == [f"ours [{fingerprint}]", "theirs [01234567]"]


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_a_drawing_holds_every_amount_and_stays_in_its_frame(layout: object) -> None:
    shown = drawing(PLAY.ours(), layout)  # type: ignore[arg-type]
    texts = [html.unescape(each) for each in re.findall(r"<text[^>]*>([^<]*)</text>", shown)]
    for amount in ("1.00000000 BTC", "0.30000000 BTC", "1.69998000 BTC", "0.00002000 BTC"):
        assert amount in texts
    height = float(re.findall(r'viewBox="0 0 \d+ ([\d.]+)"', shown)[0])
    assert all(0 < float(y) < height for y in re.findall(r'<text [^>]*y="([\d.-]+)"', shown))


def test_many_coins_are_drawn_together() -> None:
    coins = tuple(CoinPart(f"{n:064x}:0", 1_000, mine=True, path=f"0/{n}") for n in range(1000))
    receipt = msgspec.structs.replace(PLAY.ours(), inputs=coins, fee_sats=None)
    shown = drawing(receipt, WIDE)
    assert "990 more inputs" in shown
    assert "0.00990000 BTC" in shown
    assert "not known" in shown
    assert "and 800 inputs more" in plain(receipt_lines(receipt))


def test_amounts_that_nobody_knows_are_not_drawn_as_nothing() -> None:
    receipt = PLAY.ours()
    coins = tuple(msgspec.structs.replace(each, sats=None) for each in receipt.inputs)
    text = plain(receipt_lines(msgspec.structs.replace(receipt, inputs=coins, fee_sats=None)))
    assert text.count("not known") == 3
    assert "not known" in drawing(msgspec.structs.replace(receipt, inputs=coins), NARROW)


@pytest.mark.parametrize(
    ("values", "words"), [((0,), "0"), ((0, 1), "0, 1"), ((0, 1, 2, 5, 7, 8, 9), "0-2, 5, 7-9"), ((), "")]
)
def test_numbers(values: tuple[int, ...], words: str) -> None:
    assert numbers(values) == words


def test_headlines() -> None:
    assert headline(PLAY.ours()) == "Broadcast"
    assert headline(PLAY.theirs("bob")) == "Signed; broadcast, as the coordinator says"
    assert headline(PLAY.theirs("alice")) == "Not needed: enough others signed"


@pytest.mark.parametrize(
    ("receipt", "events"),
    [(PLAY.ours(), get_args(CoordinatorEvent)), (PLAY.theirs("bob"), get_args(CosignerEvent))],
    ids=["coordinator", "cosigner"],
)
def test_every_event_has_words_in_the_history(receipt: Receipt, events: tuple[type[Event], ...]) -> None:
    tags = [str(each.__struct_config__.tag) for each in events]
    words = [happening_words(receipt, HappeningPart(receipt.made_at, tag, "bob", None)) for tag in tags]
    assert len(set(words)) == len(tags) > 10
    assert not [each for each in words if "-" in each], "a tag where words should be"


def endings() -> tuple[Receipt, Receipt]:
    """Receipts of alice and bob after a ceremony that failed, was gone on with, and was kept at last."""
    play = Play(names=("alice", "bob", "carol"))
    for name in play.names:
        play.offer(name)
    play.sign("bob")
    play.decline("carol", "not this month")
    play.tell("bob", reason=too_few(play.state), failed=True, seen="no-node")
    play.sign("alice")
    play.finish(broadcast=False)
    play.tell("bob", seen="unknown")
    play.tell("alice", seen="no-node")
    return play.ours(), play.theirs("bob")


def test_a_receipt_speaks_in_words_and_says_which_outcome_was_told() -> None:
    for receipt in endings():
        ours = receipt.role == "coordinator"
        text = " ".join(plain(receipt_lines(receipt)).split())
        page = html.unescape(re.sub("<[^>]*>", "", receipt_page(receipt)))
        whose, sent, came = ("their", "sent", "received") if ours else ("our", "received", "sent")
        for shown in (text, page):
            assert f'{sent} outcome: failed; "not enough signatures' in shown
            assert f"{sent} outcome: complete, not broadcast yet" in shown
            assert f"{came} farewell: there was no transaction to look for" in shown
            assert f"{came} farewell: {whose} node does not know the transaction (yet)" in shown
            assert ("received farewell: there was no node to look with" in shown) == ours  # alice's, at the end
            assert not re.search(r": (unknown|no-node|person|final)\b", shown)
        if ours:
            assert "said goodbye: bob: there was no transaction to look for" in text
            assert "said goodbye: bob: their node does not know the transaction (yet)" in text
            assert "said goodbye: alice: there was no node to look with" in text
            assert "the ceremony began; sent to be signed by a person" in text
            assert "approved by" not in text
        else:
            assert "said goodbye to the coordinator: there was no transaction to look for" in text
            assert "the outcome came: complete, not broadcast yet" in text
            assert "approved by a person" in text


def test_a_letter_whose_words_are_lost_still_says_which_outcome_it_was() -> None:
    receipt = endings()[0]
    pairs = tuple(
        msgspec.structs.replace(
            pair,
            letters=tuple(
                msgspec.structs.replace(part, result=None, reason=None, head=None) if part.kind == "outcome" else part
                for part in pair.letters
            ),
        )
        for pair in receipt.pairs
    )
    text = plain(receipt_lines(msgspec.structs.replace(receipt, pairs=pairs)))
    assert "sent outcome: failed\n" in text
    assert text.count("sent outcome: complete, not broadcast yet") == 2


def test_a_signature_without_a_name_is_shown_by_its_key() -> None:
    part = SignaturePart(PLAY.ours().made_at, 0, "02" + "ab" * 32, None, None, "here", None)
    receipt = msgspec.structs.replace(PLAY.ours(), signatures=(part,))
    assert [(each.fingerprint, each.name) for each in signers(receipt)] == [("02ababab", "")]
    assert "[02ababab]: input 0, here" in plain(receipt_lines(receipt))


def test_the_page_forbids_everything_but_its_own_style() -> None:
    page = receipt_page(PLAY.ours())
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy[0]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
