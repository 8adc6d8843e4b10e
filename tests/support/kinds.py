"""Wallets of every kind that can be imported, as descriptors over the same five people."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from support import quick_btclib as _faster  # noqa: F401  every kind is read through btclib
from support.cosigners import people
from wormsig.bitcoin.keys import ExtendedPublicKey
from wormsig.bitcoin.network import Network
from wormsig.bitcoin.taproot import NUMS_KEY
from wormsig.wallet.descriptor import parse_descriptor

if TYPE_CHECKING:
    from support.cosigners import Cosigner
    from wormsig.wallet.model import Wallet

PEOPLE = people(5, "kinds")
SECRET = hashlib.sha256(b"the preimage").digest()


def nums_xpub(keys: list[bytes], *, chain_code: bytes | None = None) -> str:
    """An xpub over BIP341's H as wallets make it: its chain code is the hash of the keys."""
    code = hashlib.sha256(b"".join(keys)).digest() if chain_code is None else chain_code
    return ExtendedPublicKey(0, bytes(4), 0, code, b"\x02" + NUMS_KEY, mainnet=False).text()


def descriptors(cosigners: list[Cosigner] | None = None) -> dict[str, str]:
    """Name -> descriptor without checksum."""
    who = cosigners or PEOPLE
    bare = [person.key().text() for person in who]
    a, b, c, d, e = (f"{key}/<0;1>/*" for key in bare)
    later_a, later_b = (f"{key}/<2;3>/*" for key in bare[:2])
    nums = NUMS_KEY.hex()
    ranged_nums = nums_xpub([person.key().xpub.pubkey for person in who[:3]])
    sha256 = hashlib.sha256(SECRET).hexdigest()
    hash160 = hashlib.new("ripemd160", hashlib.sha256(SECRET).digest()).hexdigest()
    musig = f"musig({','.join(bare[:3])})/<0;1>/*"
    return {
        "wsh": f"wsh(sortedmulti(2,{a},{b},{c}))",
        "wsh-multi": f"wsh(multi(2,{a},{b},{c}))",
        "sh-wsh": f"sh(wsh(sortedmulti(2,{a},{b},{c})))",
        "sh": f"sh(sortedmulti(2,{a},{b},{c}))",
        "wsh-recovery": f"wsh(or_d(multi(2,{a},{b},{c}),and_v(v:pkh({d}),older(1000))))",
        "wsh-decaying": f"wsh(thresh(3,pk({a}),s:pk({b}),s:pk({c}),sln:older(12960)))",
        "wsh-same-keys-later": (
            f"wsh(or_d(multi(2,{a},{b}),and_v(v:thresh(1,pkh({later_a}),a:pkh({later_b})),older(65535))))"
        ),
        "wsh-andor": f"wsh(andor(multi(2,{a},{b}),after(800000),and_v(v:pk({c}),sha256({sha256}))))",
        "wsh-hash160": f"wsh(and_v(v:hash160({hash160}),multi(2,{a},{b})))",
        "wsh-or-i": f"wsh(or_i(and_v(v:pk({a}),pk({b})),and_v(v:pkh({c}),after(1900000000))))",
        "wsh-or-b": f"wsh(and_b(or_b(pk({a}),s:pk({b})),s:pk({c})))",
        "wsh-or-c": f"wsh(and_v(or_c(pk({a}),v:older(4194500)),and_v(v:pk({b}),pk({c}))))",
        "wsh-and-n": f"wsh(and_n(pk({a}),and_b(pk({b}),s:pk({c}))))",
        "wsh-wrappers": f"wsh(and_v(v:multi(2,{a},{b}),t:or_c(pk({c}),v:older(10))))",
        "wsh-j": f"wsh(or_i(multi(2,{a},{b}),and_b(jtv:pk({c}),sdv:older(16))))".replace("sdv:", "adv:"),
        "sh-wsh-recovery": f"sh(wsh(or_d(multi(2,{a},{b},{c}),and_v(v:pkh({d}),older(1000)))))",
        "tr-sortedmulti-a": f"tr({nums},sortedmulti_a(2,{a},{b},{c}))",
        "tr-multi-a": f"tr({nums},multi_a(2,{a},{b},{c}))",
        "tr-nums-xpub": f"tr({ranged_nums}/<0;1>/*,multi_a(2,{a},{b},{c}))",
        "tr-internal-member": f"tr({a},multi_a(2,{a},{b},{c}))",
        "tr-internal-other": f"tr({e},{{multi_a(2,{a},{b},{c}),and_v(v:pk({d}),older(1000))}})",
        "tr-tree": f"tr({nums},{{sortedmulti_a(2,{a},{b},{c}),{{and_v(v:multi_a(2,{d},{e}),older(52560)),"
        f"and_v(v:pkh({a}),after(900000))}}}})",
        "tr-pairs": f"tr({nums},{{multi_a(2,{a},{b}),{{multi_a(2,{a},{c}),multi_a(2,{b},{c})}}}})",
        "tr-alike": f"tr({nums},{{{{multi_a(2,{a},{b}),multi_a(2,{c},{d})}},"
        f"{{multi_a(2,{a},{c}),multi_a(2,{b},{d})}}}})",
        "tr-hash": f"tr({nums},and_v(v:sha256({sha256}),multi_a(2,{a},{b})))",
        "tr-same-keys-later": f"tr({a},{{sortedmulti_a(1,{later_a},{b}),or_b(pk({c}),s:pk({d}))}})",
        "tr-musig": f"tr({musig})",
        "tr-musig-leaf": f"tr({musig},and_v(v:pk(musig({bare[0]},{bare[1]})/<0;1>/*),older(12960)))",
    }


@cache
def kind(name: str) -> Wallet:
    """One of the wallets, on regtest, its keys named. Reading one takes a tenth of a second: each is read once."""
    names = {person.master.fingerprint: person.name for person in PEOPLE}
    text = descriptors()[name]
    present = {print_: called for print_, called in names.items() if print_.hex() in text}
    return parse_descriptor(text, Network.REGTEST, names=present, name=name)
