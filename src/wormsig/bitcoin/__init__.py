"""Bitcoin's own formats and rules: networks, addresses, keys, transactions, scripts, sighashes, secp256k1.

Everything here works on bytes and frozen values and keeps no state; the network is always an explicit argument.
This is the only room that imports bitcointx (docs/adr/0002) and the only one that knows where libsecp256k1 comes
from (docs/adr/0003). PSBTs, wallets and any judgement about what is being signed do not belong here.

| module | has |
|---|---|
| `network` | the five networks, addresses to scripts and back |
| `libsecp` | where libsecp256k1 comes from; its functions, ready for ctypes |
| `secp` | keys, key tweaks and ECDSA on it |
| `schnorr` | BIP340 signatures and taproot's key tweaks on it |
| `taproot`, `tapscript` | script trees, control blocks, witnesses; `multi_a` leaves |
| `keys` | BIP32 extended keys, key origins, derivation paths |
| `tx` | transactions: parse, serialize, ids, weight |
| `script` | script templates, multisig, hashes, assembly text |
| `sighash` | legacy, BIP143, BIP341 and BIP342 signature hashes with shared midstates |
| `base58`, `compact`, `der`, `batch` | base58check; compact sizes; the form of a signature; verifying on every core |
"""

from __future__ import annotations
