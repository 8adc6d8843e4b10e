from __future__ import annotations

import io

import pytest

from support.hostile import BTC, STRANGER, Coin, Out, add_input, edit_input, previous_tx, scene_of, with_output
from support.values import replace
from wormsig.bitcoin.tx import TxOutput
from wormsig.psbt import finalizer, verify
from wormsig.render.lines import Line, Style, address_lines, hex_lines, plain, wrapped
from wormsig.render.report_text import finding_lines, inspect_lines, review_lines, verdict_words
from wormsig.render.terminal import show, wants_color
from wormsig.render.timing_text import timing_words
from wormsig.review.context import ReviewContext
from wormsig.review.findings import Code
from wormsig.review.report import Finding
from wormsig.review.review import review

SCENE = scene_of()


def text_of(psbt, **context):
    return plain(review_lines(SCENE.review(psbt, **context)))


def test_the_review_of_an_honest_psbt():
    assert text_of(SCENE.psbt(fee=1_100)) == (
        "family · 2 of 3 · wsh · regtest\n"
        "Spends   2.00000000 BTC   from 2 coins of the wallet\n"
        "Leaves   0.30001100 BTC   this wallet, fee included\n"
        "Pays     0.30000000 BTC   bcrt 1qlh mcdr a2tz j7vy 8x3h n0ex ym82 p5s2 m93c nxrw\n"
        "Change   1.69998900 BTC   back to this wallet, address 1/0\n"
        "Fee      0.00001100 BTC   1100 sat · 3.75 sat/vB · 0.001 %\n"
        "Replaceable; can be mined at once.                                   no findings"
    )


def test_a_payment_to_an_address_of_ours_that_is_handed_out_is_not_called_change():
    psbt = SCENE.psbt(outputs=[Out(2 * BTC - 1_100, place=(0, 5))])
    assert "to this wallet, receive address 0/5" in text_of(psbt)
    assert "Change" not in text_of(psbt)
    assert "to this wallet, receive address 0/5" in plain(inspect_lines(SCENE.review(psbt)))


def test_a_title_stands_on_the_right():
    first = review_lines(SCENE.review(SCENE.psbt()), title="ceremony 7f3a-19")[0].text
    assert len(first) == 80
    assert first.endswith("ceremony 7f3a-19")


def test_without_a_wallet_everything_is_shown_and_nothing_is_ours():
    shown = plain(inspect_lines(review(SCENE.psbt(), None, ReviewContext(network=SCENE.wallet.network))))
    assert shown.startswith("no wallet · regtest\nSpends   2.00000000 BTC   from 2 coins\nPays ")
    assert "Leaves" not in shown
    assert "Change" not in shown
    assert "not the wallet's" not in shown
    assert "(as the PSBT says)" in shown
    blind = plain(inspect_lines(review(SCENE.psbt(), None, ReviewContext())))
    assert "network not known" in blind
    assert STRANGER.hex() in blind


def test_findings_come_with_their_row_details_and_hint():
    lie = with_output(SCENE.psbt(), 1, TxOutput(2 * BTC - 30_002_000, STRANGER))
    shown = text_of(lie)
    assert "error C2  output 1 claims to be change, but its script is not the wallet's\n" in shown
    assert "\n          it names alice's key [" in shown
    assert "2 errors" in shown
    assert "(C2-fake-change)" not in shown
    assert "          (C2-fake-change)\n" in plain(inspect_lines(SCENE.review(lie)))


def test_many_findings_of_a_kind_are_counted():
    findings = [Finding(Code.DUST, f"output {n}", f"output {n} is dust") for n in range(12)]
    shown = plain(finding_lines(findings))
    assert shown.count("is dust") == 5
    assert "and 7 more like these: C19-dust" in shown


def test_what_leaves_the_wallet_is_said_again_when_it_may_have_scrolled_away():
    scene = scene_of()
    payments = [Out(1_000, b"\x00\x14" + bytes([number]) * 20) for number in range(60)]
    lines = plain(review_lines(scene.review(scene.psbt(outputs=[*payments, Out(BTC, place=(1, 0))])))).splitlines()
    assert lines[-4:] == ["In sum, with 61 outputs:", *lines[1:3], next(line for line in lines if line[:3] == "Fee")]
    assert "In sum" not in plain(review_lines(scene.review(scene.psbt())))


def test_every_line_fits_the_width():
    report = SCENE.review(SCENE.sign(SCENE.psbt(), "bob"))
    long = replace(report, outputs=(replace(report.outputs[0], script="ab" * 500, address=None), *report.outputs[1:]))
    for line in plain(inspect_lines(long)).split("\n"):
        assert len(line) <= 80
    assert plain(inspect_lines(long)).replace("\n", "").replace(" ", "").count("ab" * 500) == 2


def test_who_signed_is_said_per_input():
    signed = SCENE.sign(SCENE.psbt([Coin()]), "bob")
    shown = plain(inspect_lines(SCENE.review(signed)))
    bob = SCENE.wallet.keys[1].fingerprint.hex()
    assert f"[{bob}] bob  signed, verified" in shown
    assert "1 of 2 signatures" in shown
    assert "1 input still without enough signatures" in shown


def test_finals_and_bad_signatures_are_told_apart():
    final = finalizer.finalize(verify.verify(SCENE.sign(SCENE.psbt([Coin()]), "bob", "carol")))
    assert "final, verified" in plain(inspect_lines(SCENE.review(final)))
    assert "every input has the signatures that it needs" in plain(inspect_lines(SCENE.review(final)))
    broken = edit_input(final, 0, {b"\x08": b"\x02\x00\x00"})
    assert "final, NOT VERIFIED" in plain(inspect_lines(SCENE.review(broken)))
    pubkey = next(iter(SCENE.deriver.script(0, 0).origins))
    bad = edit_input(SCENE.psbt([Coin()]), 0, {b"\x02" + pubkey: b"\x30\x00\x01"})
    assert "signature DOES NOT COUNT" in plain(inspect_lines(SCENE.review(bad)))


def test_foreign_coins_are_counted_beside_our_own():
    psbt = add_input(SCENE.psbt(), previous_tx(STRANGER, 1_000))
    assert "from 2 coins of the wallet, and 1 coin that is not" in text_of(psbt)


def test_an_unknown_amount_is_said():
    shown = text_of(edit_input(SCENE.psbt(), 0, {b"\x00": None, b"\x01": None}))
    assert "Fee      " in shown
    assert "an input's amount is unknown" in shown


def test_a_wallet_can_gain():
    psbt = SCENE.psbt([Coin()], [Out(BTC + 5_000, place=(1, 0))])
    psbt = add_input(psbt, previous_tx(STRANGER, 10_000))
    assert "Gains    0.00005000 BTC   for this wallet" in text_of(psbt)


@pytest.mark.parametrize(
    ("locktime", "sequence", "words"),
    [
        (0, 0xFFFF_FFFD, "Replaceable; can be mined at once."),
        (0, 0xFFFF_FFFF, "Not replaceable; can be mined at once."),
        (800_000, 0xFFFF_FFFE, "Not replaceable; can be mined after block 800000."),
        (1_700_000_000, 0xFFFF_FFFD, "Replaceable; can be mined after 2023-11-14 22:13 UTC."),
        (9, 0xFFFF_FFFF, "Not replaceable; can be mined at once: its locktime (block 9) is not enforced."),
        (0, 144, "Replaceable; can be mined at once, not before a coin is 144 blocks old."),
        (0, (1 << 22) | 169, "Replaceable; can be mined at once, not before a coin is 24 h 2 min old."),
    ],
)
def test_timing_in_words(locktime: int, sequence: int, words: str):
    assert timing_words(SCENE.review(SCENE.psbt(locktime=locktime, sequence=sequence))) == words


def test_the_verdict_counts_by_severity():
    report = SCENE.review(SCENE.psbt())
    assert verdict_words(report) == "no findings"
    some = tuple(Finding(code, "x", "x") for code in (Code.NEGATIVE_FEE, Code.DUST, Code.DUST, Code.REPLACES))
    assert verdict_words(replace(report, findings=some)) == "1 error, 2 warnings, 1 notice"


def test_addresses_are_broken_between_groups():
    lines = address_lines("bcrt1" + "q" * 59, first="Pays     0.30000000 BTC   ")
    assert [len(line.text) for line in lines] == [80, 50]
    assert "".join(line.text for line in lines).replace(" ", "") == "Pays0.30000000BTCbcrt1" + "q" * 59


def test_hex_is_never_shortened():
    lines = hex_lines("script", "ab" * 100, first="  ")
    assert "".join(line.text.strip().removeprefix("script ") for line in lines) == "ab" * 100


def test_a_sentence_is_wrapped_with_its_indent():
    lines = wrapped("word " * 30, first="error C2  ", rest=" " * 10)
    assert lines[0].text.startswith("error C2  word")
    assert all(line.text.startswith(" " * 10) for line in lines[1:])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color(Terminal())
    assert not wants_color(io.StringIO())
    assert not wants_color(Terminal(), no_color=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_color(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_color(Terminal())


def test_colour_adds_nothing_but_escapes():
    lines = [Line("error C2  [bold]no markup[/] :smile: 123", Style.ERROR), Line("x" * 100), Line("")]
    colored, bare = Terminal(), io.StringIO()
    show(lines, colored, color=True)
    show(lines, bare)
    assert "\x1b[1;31m" in colored.getvalue()
    assert colored.getvalue().replace("\x1b[1;31m", "").replace("\x1b[0m", "") == bare.getvalue()
    assert bare.getvalue() == plain(lines) + "\n"
