from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wormsig.transport import agenda
from wormsig.transport.places import Place, meeting_place

SECRET = bytes(range(32))
PAGE = Path(__file__).parents[3] / "docs/wire-format.md"


def test_the_places_are_those_of_the_wire_format() -> None:
    rows = re.findall(r"^\| (\d) \| `(\S+)` \| `(\S+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [(int(number), *list(rest)) for number, *rest in rows] == [
        (number, meeting_place(SECRET, number).appid, meeting_place(SECRET, number).code) for number in (0, 1, 2)
    ]


def test_the_spare_places_are_those_of_the_wire_format() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    first, second = f"{agenda.SPARE:,}".replace(",", " "), f"{2 * agenda.SPARE:,}".replace(",", " ")
    assert f"it has looked for {agenda.APART:.0f} s: the lowest unmarked one from {first} on" in page
    assert f"after {2 * agenda.APART:.0f} s at a second one, the lowest from {second} on" in page
    assert f"one at a time, after {agenda.RENEW:.0f} s" in page
    assert agenda.SPARES == 2


@pytest.mark.parametrize("number", [0, 7, 10**9])
def test_a_place_is_hkdf_of_the_secret(number: int) -> None:
    def derived(info: str, length: int) -> bytes:
        return HKDF(SHA256(), length, None, f"wormsig/rendezvous/{info}".encode()).derive(SECRET)

    nameplate = int.from_bytes(derived(f"{number}/nameplate", 32)) % (9 * 10**38) + 10**38
    assert meeting_place(SECRET, number) == Place(
        f"wormsig/1/{derived('appid', 20).hex()}", f"{nameplate}-{derived(f'{number}/password', 20).hex()}"
    )


def test_places_have_the_form_that_the_library_takes_and_are_all_different() -> None:
    places = [meeting_place(bytes([fill]) * 32, number) for fill in range(4) for number in range(50)]
    assert all(re.fullmatch(r"wormsig/1/[0-9a-f]{40}", place.appid) for place in places)
    assert all(re.fullmatch(r"[1-9][0-9]{38}-[0-9a-f]{40}", place.code) for place in places)
    assert len({place.code for place in places}) == 200
    assert len({place.code.split("-")[0] for place in places}) == 200
    assert len({place.code.split("-")[1] for place in places}) == 200
    assert len({place.appid for place in places}) == 4, "one for each secret"


def test_a_place_is_not_printed() -> None:
    assert repr(meeting_place(SECRET, 0)) == "Place()"
