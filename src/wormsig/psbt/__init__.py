"""Partially signed Bitcoin transactions: a lossless strict codec, and one module a BIP174 role.

Everything is a function from frozen values to a frozen value; nothing here reads files, talks to anybody or knows
what a wallet is. Judging whether a transaction should be signed does not belong here (`review`).

| module | role or purpose |
|---|---|
| `limits` | the one table of caps |
| `fields` | the one table of key types (BIP174, 370, 371, 373, 375, 353) |
| `forms` | what a key and a value of each type must look like |
| `codec`, `alike` | bytes to maps and back; what is a known PSBT but for signatures, faster |
| `model` | `Psbt` and what can be read off its maps |
| `unsigned`, `convert`, `modifiable` | version 2: its transaction, to and from version 0, its flags |
| `creator`, `constructor`, `updater` | Creator, Constructor, Updater |
| `scripts`, `taproot` | what is spent and by which script: proven, never believed |
| `sigkeys` | what a signature stands under: a public key, an output key, a key in a leaf |
| `digests` | what a signature signs |
| `verify` | signatures checked; `Verified`, which only checking makes |
| `finals`, `witnesses`, `apart` | final scripts taken apart and checked: by template, and miniscript |
| `templates`, `solver` | final scripts put together: which way an input can be spent, what it lacks |
| `miniscript`, `preimages` | scripts read back as miniscript; the preimages that they ask for |
| `musig` | MuSig2: who takes part, and how far it has come |
| `signer` | Signer |
| `contribution` | what a cosigner gives back: evidence, not a replacement |
| `combiner`, `finalizer`, `extractor` | Combiner, Input Finalizer, Transaction Extractor |
| `size` | the final transaction's weight, estimated where signatures are missing |
"""

from __future__ import annotations
