"""Writes fuzz/corpus: one file a PSBT, from the project's own vectors and roles; run it when those change.

python fuzz/make_corpus.py [--check]
"""

from __future__ import annotations

import base64
import json
import sys

import target
from support.psbts import coins, spend
from support.taproot import SECRET, SHA256
from wormsig.bitcoin.tx import OutPoint, TxInput
from wormsig.psbt import constructor
from wormsig.psbt.codec import serialize
from wormsig.psbt.convert import to_version_2
from wormsig.psbt.finalizer import finalize
from wormsig.psbt.maps import put
from wormsig.psbt.modifiable import Modifiable
from wormsig.psbt.signer import sign_inputs
from wormsig.psbt.verify import verify

VECTORS = target.HERE.parent / "tests" / "vectors"
ASKED = (2, 4)
"""The inputs of the second PSBT that ask for a preimage."""
BOTH = Modifiable.INPUTS | Modifiable.OUTPUTS


def from_roles() -> dict[str, bytes]:
    """The PSBT that answers are compared with, at every step of its way, in both versions."""
    spent = target.ECDSA
    every = (
        {index: each.secrets(*range(min(2, len(each.keys)))) for index, each in enumerate(spent)},
        {index: each.secrets(*("ab" if index else "a")) for index, each in enumerate(target.OTHER)},
    )
    made = {}
    for kind, mine, one, two in zip(("template", "other"), target.MINE, target.KEYS, every, strict=True):
        signed = sign_inputs(mine, two)
        if kind == "other":
            known = {index: put(signed.inputs[index], b"\x0b" + SHA256, SECRET) for index in ASKED}
            signed = signed.with_inputs(known)
        steps = {"unsigned": mine, "one-signature": sign_inputs(mine, one), "signed": signed}
        steps["final"] = finalize(verify(signed))
        for name, psbt in steps.items():
            made[f"{kind}-v0-{name}"] = psbt
            made[f"{kind}-v2-{name}"] = to_version_2(psbt)
    single = spend(coins("wsh", "wpkh"), psbt_version=2, modifiable=BOTH)
    made["role-v2-open"] = single
    made["role-v2-single"] = sign_inputs(single, {0: spent[0].secrets(0)}, sighash_type=0x83)
    made["role-v2-locktimes"] = constructor.add_input(
        single, TxInput(OutPoint(bytes(32), 1), sequence=0), required_time=1_700_000_000, required_height=800_000
    )
    made["role-v0-nameless"] = target.NAMELESS
    made["role-v0-nameless-signed"] = target.NAMELESS_SIGNED
    made["role-v0-both-kinds"] = target.BOTH_KINDS
    made["role-v0-bare"] = spend(coins("bare", "sh-wpkh"))
    return {name: serialize(psbt) for name, psbt in made.items()}


def from_vectors() -> dict[str, bytes]:
    """The vectors that a parser accepts: fields of every type, and faults that only a role sees."""
    found = {}
    for version in (0, 2):
        for case in json.loads((VECTORS / f"psbt-v{version}.json").read_text())["cases"]:
            if case["expect"] != "invalid":
                found[f"vector-v{version}-{case['id']}"] = base64.b64decode(case["psbt"])
    return found


def main() -> int:
    """Write the corpus, or say whether it is up to date."""
    wanted = {f"{name}.psbt": data for name, data in (from_roles() | from_vectors()).items()}
    held = {file.name: file.read_bytes() for file in target.CORPUS.glob("*")} if target.CORPUS.is_dir() else {}
    if sys.argv[1:] == ["--check"]:
        return 0 if held == wanted else 1
    target.CORPUS.mkdir(exist_ok=True)
    for name in held.keys() - wanted.keys():
        (target.CORPUS / name).unlink()
    for name, data in wanted.items():
        (target.CORPUS / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
