"""THREATS R2 and R9 on files: signatures in forms that do not count, and one that leaks, which nobody can see.

Of P2WSH, nested P2WSH and taproot wallets alike.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from support.hostile import edit_input
from support.signatures import der, numbers
from wormsig.bitcoin import secp
from wormsig.bitcoin.sighash import SIGHASH_ALL, SIGHASH_DEFAULT
from wormsig.errors import ExitCode
from wormsig.psbt import codec
from wormsig.psbt.digests import digest
from wormsig.psbt.scripts import input_scripts
from wormsig.psbt.sigkeys import field_key
from wormsig.psbt.verify import held_signatures

if TYPE_CHECKING:
    from conftest import Judge
    from support.hostile import Scene
    from wormsig.psbt.model import Psbt

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
ROOT = Path(__file__).resolve().parents[2]


def combined(judge: Judge, mine: Psbt, *answers: Psbt) -> tuple[int, Psbt | None]:
    """`wormsig combine`: exit code, and what OUT holds."""
    names = []
    for number, psbt in enumerate((mine, *answers)):
        path = judge.folder / f"{number}.psbt"
        path.write_bytes(codec.serialize(psbt))
        names.append(str(path))
    out = judge.folder / "combined.psbt"
    out.unlink(missing_ok=True)
    code, _ = judge.run("combine", *names, "--wallet", judge.scene.wallet.name, "-o", str(out))
    return code, codec.parse(out.read_bytes()) if out.exists() else None


def other_forms(signature: bytes, *, taproot: bool) -> dict[str, bytes]:
    """The same signature, as it must not be written, and numbers that are out of range."""
    if taproot:
        r, s = signature[:32], int.from_bytes(signature[32:64], "big")
        return {
            "DEFAULT written out": signature[:64] + b"\0",
            "another type": signature[:64] + b"\x01",
            "S negated": r + (ORDER - s).to_bytes(32, "big"),
            "S too large": r + ORDER.to_bytes(32, "big"),
            "zeros": bytes(64),
        }
    r, s = numbers(signature)
    return {
        "high S": der(r, ORDER - s),
        "padded": der(r, s, padding=b"\0"),
        "bytes behind": signature[:-1] + b"\0" + signature[-1:],
        "zero": der(0, 1),
        "empty": b"",
        "without a type": signature[:-1],
    }


def test_r2_signatures_in_other_forms_are_not_merged(judge: Judge, scene: Scene) -> None:
    mine = scene.psbt()
    bob, carol = scene.sign(mine, "bob"), scene.sign(mine, "carol")
    ((key, good),) = held_signatures(bob, 0).items()
    for what, form in other_forms(good, taproot=scene.script_type == "tr").items():
        lie = edit_input(bob, 0, {field_key(key): form})
        code, out = combined(judge, mine, lie, carol)
        assert code == ExitCode.PEER, what
        assert out is not None
        assert held_signatures(out, 0) == held_signatures(carol, 0), what
        assert held_signatures(out, 1) == held_signatures(carol, 1) | held_signatures(bob, 1), what
    assert combined(judge, mine, bob, carol) == (ExitCode.DONE, scene.sign(bob, "carol"))


# R9: a device gives its key away to whoever knows how it chooses its nonces; no signature looks different for it.

NONCE = int.from_bytes(hashlib.sha256(b"known to whoever made the firmware").digest(), "big") % ORDER


def ecdsa(secret: int, message: bytes) -> bytes:
    """With `NONCE`; low S, and ALL behind it."""
    r = int.from_bytes(secp.pubkey_of(NONCE.to_bytes(32, "big"))[1:], "big")
    s = pow(NONCE, -1, ORDER) * (int.from_bytes(message, "big") + r * secret) % ORDER
    return der(r, min(s, ORDER - s))


def stolen_from_ecdsa(signature: bytes, message: bytes) -> set[int]:
    r, s = numbers(signature)
    return {(each * NONCE - int.from_bytes(message, "big")) * pow(r, -1, ORDER) % ORDER for each in (s, ORDER - s)}


def challenge(r: bytes, xonly: bytes, message: bytes) -> int:
    """BIP340's."""
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    return int.from_bytes(hashlib.sha256(tag + tag + r + xonly + message).digest(), "big") % ORDER


def even(secret: int) -> int:
    """The secret, or its negative, whichever has a point with an even y."""
    return secret if secp.pubkey_of(secret.to_bytes(32, "big"))[0] == 2 else ORDER - secret


def schnorr(secret: int, message: bytes) -> bytes:
    """With `NONCE`."""
    nonce, secret = even(NONCE), even(secret)
    r, xonly = (secp.pubkey_of(each.to_bytes(32, "big"))[1:] for each in (nonce, secret))
    return r + ((nonce + challenge(r, xonly, message) * secret) % ORDER).to_bytes(32, "big")


def stolen_from_schnorr(signature: bytes, xonly: bytes, message: bytes) -> set[int]:
    e = challenge(signature[:32], xonly, message)
    secret = (int.from_bytes(signature[32:], "big") - even(NONCE)) * pow(e, -1, ORDER) % ORDER
    return {secret, ORDER - secret}


def test_r9_a_signature_that_gives_the_key_away_looks_like_any_other_and_the_docs_say_so(
    judge: Judge, scene: Scene
) -> None:
    mine = scene.psbt()
    bob = scene.sign(mine, "bob")
    ((key, _),) = held_signatures(bob, 0).items()
    taproot = scene.script_type == "tr"
    origin = scene.deriver.script(0, 0).origins[key[:32] if taproot else key]
    secret = int.from_bytes(scene.people[1].master.derive(origin.path).seckey, "big")
    scripts = input_scripts(mine, 0)
    if taproot:
        message = digest(mine, 0, scripts, SIGHASH_DEFAULT, key[32:])
        leak = schnorr(secret, message)
        assert secret in stolen_from_schnorr(leak, key[:32], message)
    else:
        message = digest(mine, 0, scripts, SIGHASH_ALL)
        leak = ecdsa(secret, message)
        assert secret in stolen_from_ecdsa(leak, message)
    answer = edit_input(bob, 0, {field_key(key): leak})
    assert combined(judge, mine, answer) == (ExitCode.DONE, answer)
    assert judge.report(answer).findings == ()
    for page, words in (
        ("SECURITY.md", "not visible in the signatures"),
        ("docs/threat-model.md", "Not visible in signatures"),
    ):
        assert words in " ".join((ROOT / page).read_text(encoding="utf-8").split())
