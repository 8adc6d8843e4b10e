#!/usr/bin/env python3
"""Write docs/psbt-fields.md from the table in psbt/fields.py; `--check` compares only."""

from __future__ import annotations

from generated import settle, table
from wormsig.psbt.fields import FIELDS, FieldType, Map

INTRO = """# PSBT fields

Every key type that is known here. All others, and proprietary ones, are kept as they are and listed by the review.
[psbt-conformance.md](psbt-conformance.md) says which rules are kept, and who else was asked.

*In* says which PSBT versions allow a field; **bold** where every map has to have it. *Answer* marks what a cosigner's
answer may bring into the coordinator's copy, once it is verified; everything else that comes back changed is reported
and left. MuSig2's nonces and partial signatures cannot be verified here yet: they are reported and left as well.
*Final* marks what stays in an input that is final. Fields of drafts are named and kept, and their form is not judged.

"""

TITLES = {Map.GLOBAL: "Global", Map.INPUT: "Inputs", Map.OUTPUT: "Outputs"}
HEAD = ("type", "name", "from", "in", "key", "value", "added by", "answer", "final")


def row(field: FieldType) -> tuple[str, ...]:
    """One field."""
    versions = ", ".join(f"**{one}**" if one in field.required else str(one) for one in sorted(field.versions))
    return (
        f"`{field.type:02x}`",
        f"`{field.name}`",
        f"BIP{field.bip}" if field.bip else "SLIP-19",
        versions,
        field.key,
        field.value,
        field.added_by.value,
        "yes" if field.contribution else "",
        "yes" if field.final else "",
    )


def page() -> str:
    """The whole page."""
    parts = [INTRO]
    for kind, title in TITLES.items():
        head = HEAD if kind is Map.INPUT else HEAD[:7]
        rows = [row(field)[: len(head)] for field in FIELDS if field.map is kind]
        parts.append(f"## {title}\n\n{table(head, rows)}\n")
    return "".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    settle("psbt-fields.md", "gen_psbt_fields.py", page())
