"""A receipt's page in a real browser: what a person sees on a telephone, on a desk and on paper.

Run by `make test-browser`. RECEIPT_PICTURES names a folder for the pictures, for somebody who wants to look.
"""

from __future__ import annotations

import functools
import http.server
import os
import socketserver
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from support.browser import Browser
from support.receipts import played
from wormsig.ceremony.receipt import CoinPart, HappeningPart, OutputPart, SignaturePart
from wormsig.render.receipt_html import receipt_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wormsig.ceremony.receipt import Receipt

WIDTHS = [(360, "screen"), (1280, "screen"), (680, "print")]

EVIL = '<script>window.owned=1</script><img src=x onerror="window.owned=1">"\'&lt;b&gt;\u202egnp.exe\u2066\x1b[2J\x00'
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 14
HEBREW = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd (1.00 BTC)"
WIDE = "\u5951\u7d04\u306e\u96c6\u3044\U0001f512" * 12

CLIPPED = """
(() => {
  const wrong = [], width = document.documentElement.clientWidth;
  const shown = e => e.getClientRects().length > 0;
  if (document.documentElement.scrollWidth > width) wrong.push("the page is wider than the window: "
    + document.documentElement.scrollWidth);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    if (!node.data.trim() || !shown(node.parentElement) || node.parentElement.closest("title")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const svg = node.parentElement.closest("svg");
    const frame = svg ? svg.getBoundingClientRect() : { left: 0, right: width, top: -1e9, bottom: 1e9 };
    for (const box of range.getClientRects()) {
      if (box.left < frame.left - 0.5 || box.right > frame.right + 0.5 || box.top < frame.top - 0.5
          || box.bottom > frame.bottom + 0.5) wrong.push(`clipped: ${node.data.slice(0, 60)}`);
      if (box.height < 8) wrong.push(`too small (${box.height}): ${node.data.slice(0, 60)}`);
    }
    const style = getComputedStyle(node.parentElement);
    if (style.visibility !== "visible" || style.opacity !== "1") wrong.push(`not visible: ${node.data.slice(0, 60)}`);
  }
  const boxes = [...document.querySelectorAll("svg text")].filter(shown)
    .map(e => [e.textContent, e.getBoundingClientRect()]);
  boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([two, b]) => {
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)
      wrong.push(`one over the other: ${one} | ${two}`);
  }));
  return wrong;
})()
"""
"""What cannot be read: texts outside of the page or their drawing, tiny or hidden ones, texts over texts."""

INERT = """
[...document.querySelectorAll("script, img, iframe, object, embed, a, form, base, video, audio, foreignObject")]
  .map(e => e.outerHTML)
  .concat([...document.querySelectorAll("*")].flatMap(e => [...e.attributes])
    .filter(a => a.name.startsWith("on") || a.name === "style" || /javascript:|https?:/.test(a.value)
      && a.name !== "xmlns").map(a => `${a.name}=${a.value}`))
  .concat(window.owned ? ["owned"] : [])
"""
"""Whatever could do something."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@functools.cache
def honest() -> Receipt:
    return played(declines="the amount is not what we agreed on").ours()


def hostile() -> Receipt:
    """Every word that can come from outside, as bad as it can be."""
    receipt = honest()
    words = (EVIL, LONG[:500], HEBREW, WIDE)
    pairs = []
    for number, pair in enumerate(receipt.pairs):
        text = words[number % len(words)]
        letters = tuple(
            msgspec.structs.replace(part, problems=words, reason=text) if part.kind in ("judged", "decline") else part
            for part in pair.letters
        )
        pairs.append(msgspec.structs.replace(pair, name=text, letters=letters, heads="differ"))
    assert receipt.wallet is not None
    return msgspec.structs.replace(
        receipt,
        wormsig=EVIL,
        wallet=msgspec.structs.replace(receipt.wallet, name=LONG[:500], policy=EVIL),
        signatures=tuple(
            msgspec.structs.replace(each, name=words[number % len(words)], via=words[number % len(words)])
            for number, each in enumerate(receipt.signatures)
        ),
        inputs=tuple(msgspec.structs.replace(each, path=EVIL) for each in receipt.inputs),
        outputs=(
            msgspec.structs.replace(receipt.outputs[0], address=LONG[:300]),
            msgspec.structs.replace(receipt.outputs[1], address=None, script="6a" + "ff" * 400, path=WIDE),
        ),
        pairs=tuple(pairs),
        history=tuple(HappeningPart(receipt.made_at, word, word, word) for word in words),
    )


def crowded() -> Receipt:
    """15 of 15 sign 300 inputs, and 60 are paid."""
    receipt = honest()
    coins = tuple(
        CoinPart(f"{index:064x}:{index}", 1_000 + index, mine=True, path=f"0/{index}") for index in range(300)
    )
    outputs = tuple(OutputPart(index, f"0014{index:040x}", "bcrt1" + "q" * 57, "payment", None) for index in range(60))
    marks = tuple(
        SignaturePart(receipt.made_at, index, f"02{key:064x}", f"{key:08x}", f"cosigner number {key}", "here", None)
        for key in range(15)
        for index in range(300)
    )
    return msgspec.structs.replace(receipt, inputs=coins, outputs=outputs, signatures=marks, fee_sats=None)


RECEIPTS = {"honest": honest, "hostile": hostile, "crowded": crowded}


@pytest.fixture(params=RECEIPTS)
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.html"
    path.write_text(receipt_page(RECEIPTS[request.param]()), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "media"), WIDTHS)
def test_everything_can_be_read_and_nothing_is_fetched(browser: Browser, page: Path, width: int, media: str) -> None:
    browser.open(page, width=width, media=media)
    assert browser.run(CLIPPED) == []
    assert browser.run(INERT) == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [page.as_uri()]
    assert browser.complaints() == []
    drawings = browser.run(
        '[...document.querySelectorAll("svg")].filter(e => e.getClientRects().length).map(e => e.classList[1])'
    )
    assert drawings == (["narrow"] if width == 360 else ["wide"])
    folder = os.environ.get("RECEIPT_PICTURES")
    if folder:
        (Path(folder) / f"{page.stem}-{width}-{media}.png").write_bytes(browser.picture())


@pytest.mark.parametrize("width", [360, 1280])
def test_a_person_sees_what_matters(browser: Browser, tmp_path: Path, width: int) -> None:
    receipt = honest()
    page = tmp_path / "receipt.html"
    page.write_text(receipt_page(receipt), encoding="utf-8")
    browser.open(page, width=width)
    seen = browser.run("document.body.innerText").replace("\n", " ")
    assert receipt.final is not None
    for fact in (receipt.ceremony, receipt.final.txid, receipt.psbt_sha256, "0.30000000 BTC", "Broadcast", "family"):
        assert fact in seen
    for output in receipt.outputs:
        assert output.address is not None
        assert output.address in seen
    for pair in receipt.pairs:
        assert pair.head in seen
        assert pair.connections[0].verifier in seen
        assert all(part.digest in seen for part in pair.letters)
    assert "the amount is not what we agreed on" in seen
    drawn = browser.run('[...document.querySelectorAll("svg text")].filter(e => e.getClientRects().length)'
                        '.map(e => e.textContent).join("")')  # fmt: skip
    for fact in ("signed by bob, carol", "1.00000000 BTC", "change, wallet 1/0", "0.00002000 BTC"):
        assert fact.replace(" ", "") in drawn.replace(" ", "")
    assert all(output.address in drawn for output in receipt.outputs if output.address)


def test_hostile_words_change_nothing_but_words(browser: Browser, tmp_path: Path) -> None:
    """The page's elements are the same, one by one, whatever strangers are called."""
    shapes = []
    for receipt in (honest(), msgspec.structs.replace(honest(), history=_with_words(honest(), EVIL))):
        page = tmp_path / "receipt.html"
        page.write_text(receipt_page(receipt), encoding="utf-8")
        browser.open(page, width=1280)
        shapes.append(browser.run('[...document.querySelectorAll("*")].map(e => e.tagName)'))
    assert shapes[0] == shapes[1]
    seen = browser.run("document.body.innerText")
    assert "<script>window.owned=1</script>" in seen
    assert not {"\u202e", "\u2066", "\x1b", "\x00"} & set(seen)


def _with_words(receipt: Receipt, words: str) -> tuple[HappeningPart, ...]:
    return tuple(msgspec.structs.replace(each, who=words, words=words) for each in receipt.history)


def test_it_prints_on_few_pages(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "receipt.html"
    page.write_text(receipt_page(honest()), encoding="utf-8")
    browser.open(page, width=1280)
    paper = browser.paper()
    if os.environ.get("RECEIPT_PICTURES"):
        (Path(os.environ["RECEIPT_PICTURES"]) / "honest.pdf").write_bytes(paper)
    assert paper.startswith(b"%PDF-")
    assert 2 <= paper.count(b"/Type /Page\n") <= 5


def test_the_first_page_on_paper_holds_the_drawing_and_the_signatures(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "receipt.html"
    page.write_text(receipt_page(honest()), encoding="utf-8")
    browser.open(page, width=680, media="print")  # 180 mm at 96 dots an inch
    bottom = browser.run('document.querySelector(".details").previousElementSibling.getBoundingClientRect().bottom')
    assert bottom < 1000  # 265 mm


def test_even_markup_that_got_in_could_do_nothing(browser: Browser, tmp_path: Path) -> None:
    """The second wall: with a script, a style and a picture put into the page by force, the policy stops all three (and
    this test sees what it looks for)."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingTCPServer):
        # For a frame Chromium connects before it asks the policy, says nothing, and keeps the connection.
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        forced = (
            f'<script>window.owned=1</script><img src="{url}x"><link rel="stylesheet" href="{url}y">'
            f'<iframe src="{url}z"></iframe><p id="p" style="display:none">text</p>'
        )
        page = tmp_path / "receipt.html"
        page.write_text(receipt_page(honest()).replace("</main>", f"{forced}</main>"), encoding="utf-8")
        browser.open(page, width=1280)
        assert browser.run("window.owned") is None
        assert browser.run('getComputedStyle(document.getElementById("p")).display') == "block"
        assert len(browser.complaints()) >= 4
        assert browser.run(INERT) != []
        server.shutdown()
    assert asked == []
