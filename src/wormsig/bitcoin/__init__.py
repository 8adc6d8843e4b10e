"""Bitcoin's own formats and rules: networks, addresses, keys, transactions, scripts, sighashes, secp256k1.

Everything here works on bytes and frozen values and keeps no state; the network is always an explicit argument.
This is the only room that imports bitcointx (docs/adr/0002) and the only one that knows where libsecp256k1 comes
from (docs/adr/0003). PSBTs, wallets and any judgement about what is being signed do not belong here.

| module | has |
|---|---|
| `network` | the five networks, addresses to scripts and back |
| `secp` | ECDSA and key tweaks on libsecp256k1, through ctypes |
| `keys` | BIP32 extended keys, key origins, derivation paths |
| `tx` | transactions: parse, serialize, ids, weight |
| `script` | script templates, multisig, hashes, assembly text |
| `sighash` | legacy and BIP143 signature hashes with shared midstates |
| `base58`, `compact`, `der` | base58check; compact sizes; the form of a signature |
"""

from __future__ import annotations
