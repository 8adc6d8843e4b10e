"""The vectors are a set that can be relied on: no field is only ever seen malformed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from wormsig.psbt.codec import parse
from wormsig.psbt.fields import FIELDS, Map, field_name

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = [
    case for version in (0, 2) for case in json.loads((HERE / f"psbt-v{version}.json").read_text())["cases"]
]
# Kept whatever they hold, and named by drafts and claims alone: there is nothing to get wrong.
UNJUDGED = {"PSBT_GLOBAL_GENERIC_SIGNED_MESSAGE"}


def fields_of(case: dict[str, Any]) -> set[str]:
    psbt = parse(base64.b64decode(case["psbt"]))
    maps = [(Map.GLOBAL, psbt.global_map), *((Map.INPUT, fields) for fields in psbt.inputs)]
    maps += [(Map.OUTPUT, fields) for fields in psbt.outputs]
    return {field_name(kind, key) for kind, fields in maps for key in fields}


def test_every_field_of_the_table_is_in_a_valid_vector() -> None:
    seen = set().union(*(fields_of(case) for case in CASES if case["expect"] == "valid"))
    assert {field.name for field in FIELDS} - seen == UNJUDGED


def test_every_field_with_a_form_is_in_an_invalid_vector() -> None:
    named = {case.get("field") for case in CASES if case["expect"] == "invalid"}
    judged = {field.name for field in FIELDS if field.check.__name__ != "anything"}
    assert judged - named == set()
