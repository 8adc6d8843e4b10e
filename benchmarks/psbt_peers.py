# ruff: noqa: PLC0415  a peer is imported in its own process only, so that none weighs on another
"""The PSBT engine and its peers behind one interface, for benchmarks/psbt.py. Each lives in a process of its own.

A peer does two jobs on 2-of-3 P2WSH PSBTs (psbt_data.py). As cosigner it parses, signs for cosigner a, serializes. As
coordinator it parses two answers, verifies every signature in them where the library or its primitives can, combines,
finalizes and extracts. Keys, wallets and the coordinator's own copy are ready before the clock starts; a cosigner has
not seen the PSBT before.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import importlib.metadata
import importlib.util
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from harness import cpu_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from wormsig.psbt.model import Psbt

Keys = dict[str, Any]


class Peer:
    """What benchmarks/psbt.py asks of a peer."""

    package = ""
    note = ""

    def version(self) -> str:
        return importlib.metadata.version(self.package)

    def start(self, bitcoind: str) -> None:
        """Once, before anything else."""

    def stop(self) -> None:
        """At the end."""

    def setup(self, keys: Keys) -> None:
        """Once for each number of inputs: keys and wallets."""
        raise NotImplementedError

    def own_copy(self, unsigned: bytes) -> None:
        """The coordinator's own copy, once before each of its runs; the cosigner has not seen the PSBT before."""

    def cosign(self, unsigned: bytes) -> bytes:
        raise NotImplementedError

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        raise NotImplementedError

    def cpu(self) -> float:
        """CPU seconds spent outside this process."""
        return 0.0


class Wormsig(Peer):
    """Without a wallet: the key is found by the PSBT's own key origins, one BIP32 step an input, as the peers do."""

    package = "wormsig"
    note = "review without a wallet, every script and amount proven; every signature verified"

    def setup(self, keys: Keys) -> None:
        from wormsig.bitcoin.ckd import PrivateParent
        from wormsig.bitcoin.keys import ExtendedPrivateKey, KeyOrigin, parse_path
        from wormsig.bitcoin.network import Network
        from wormsig.review.context import ReviewContext

        me = keys["cosigners"][0]
        self.fingerprint = bytes.fromhex(me["fingerprint"])
        account = ExtendedPrivateKey.from_text(me["account_tprv"])
        path = parse_path(me["path"].removeprefix("m/"))
        self.origins = {KeyOrigin(self.fingerprint, (*path, branch)).encode(): branch for branch in (0, 1)}
        self.branches = [PrivateParent(key.seckey, key.chain_code) for key in map(account.child, (0, 1))]
        self.context = ReviewContext(network=Network.REGTEST)

    def own_copy(self, unsigned: bytes) -> None:
        from wormsig.psbt import codec
        from wormsig.psbt.verify import verify

        self.own = verify(codec.parse(unsigned))

    def cosign(self, unsigned: bytes) -> bytes:
        from wormsig.psbt import codec, signer
        from wormsig.review.review import review

        psbt = codec.parse(unsigned)
        report = review(psbt, None, self.context)
        if report.errors:
            raise SystemExit(f"the review refuses: {report.errors[0]}")
        return codec.serialize(signer.sign_inputs(psbt, self._keys(psbt)))

    def _keys(self, psbt: Psbt) -> dict[int, dict[bytes, bytes]]:
        """Input -> public key -> secret key, wherever a key origin names ours; signing verifies that it fits."""
        from wormsig.psbt.model import BIP32_DERIVATION

        branch_of = self.origins.get
        places: list[list[tuple[int, bytes]]] = [[] for _ in self.branches]
        steps: list[list[int]] = [[] for _ in self.branches]
        for index, fields in enumerate(psbt.inputs):
            for key, origin in fields.items():
                if key[0] != BIP32_DERIVATION:
                    continue
                branch = branch_of(origin[:-4])
                if branch is not None:
                    places[branch].append((index, key[1:]))
                    steps[branch].append(int.from_bytes(origin[-4:], "little"))
                    break  # no input has two of one person's keys
        chosen: dict[int, dict[bytes, bytes]] = {}
        for branch, parent in enumerate(self.branches):
            for (index, pubkey), seckey in zip(places[branch], parent.seckeys(steps[branch]), strict=True):
                chosen[index] = {pubkey: seckey}
        return chosen

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        from wormsig.psbt import codec, combiner, contribution, extractor, finalizer

        answers = [
            contribution.extract(self.own.psbt, codec.parse(data, like=self.own.psbt)) for data in (first, second)
        ]
        return extractor.extract(finalizer.finalize(combiner.combine(self.own, answers))).serialize()


class WormsigWallet(Wormsig):
    """With the wallet: every input's script is derived from the descriptor, and the software signer signs."""

    note = "every input checked against the wallet's descriptor: one BIP32 step per key and input"

    def setup(self, keys: Keys) -> None:
        from wormsig.bitcoin.network import Network
        from wormsig.signers.secret import read_secret
        from wormsig.signers.software import SoftwareKey
        from wormsig.wallet.derive import Deriver
        from wormsig.wallet.descriptor import parse_descriptor

        super().setup(keys)
        self.wallet = parse_descriptor(keys["descriptor"], Network.REGTEST, name="bench")
        self.deriver = Deriver(self.wallet)
        secret = read_secret(keys["cosigners"][0]["master_tprv"], Network.REGTEST)
        self.signer = SoftwareKey(secret, self.wallet, label="bench")

    def cosign(self, unsigned: bytes) -> bytes:
        from wormsig.psbt import codec
        from wormsig.review.approve import approve
        from wormsig.review.review import review

        psbt = codec.parse(unsigned)
        report = review(psbt, self.wallet, self.context, deriver=self.deriver)
        return codec.serialize(self.signer.sign(approve(psbt, report, self.wallet, by="person")))


class Embit(Peer):
    package = "embit"
    note = "verified by its primitives; the library itself finalizes a bad signature"

    def setup(self, keys: Keys) -> None:
        from embit.bip32 import HDKey

        self.root = HDKey.from_string(keys["cosigners"][0]["master_tprv"])

    def own_copy(self, unsigned: bytes) -> None:
        from embit.psbt import PSBT

        self.own = PSBT.parse(unsigned)

    def cosign(self, unsigned: bytes) -> bytes:
        from embit.psbt import PSBT

        psbt = PSBT.parse(unsigned)
        psbt.sign_with(self.root)
        return bytes(psbt.serialize())

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        from embit.ec import Signature
        from embit.finalizer import finalize_psbt
        from embit.psbt import PSBT

        answers = [PSBT.parse(data) for data in (first, second)]
        transaction = self.own.tx  # built anew at every access, so it is kept
        for index, mine in enumerate(self.own.inputs):
            digest = transaction.sighash_segwit(index, mine.witness_script, mine.utxo.value)
            for answer in answers:
                for pubkey, signature in answer.inputs[index].partial_sigs.items():
                    if not pubkey.verify(Signature.parse(signature[:-1]), digest):
                        raise SystemExit("bad signature")
        whole = answers[0]
        for mine, other in zip(whole.inputs, answers[1].inputs, strict=True):
            mine.update(other)
        return bytes(finalize_psbt(whole).serialize())


class Bdk(Peer):
    package = "bdkpython"
    note = "verifies inside finalize"

    def setup(self, keys: Keys) -> None:
        import bdkpython as bdk

        parts = [
            f"[{each['fingerprint']}{each['path'][1:]}]{each['account_tprv' if number == 0 else 'account_tpub']}"
            for number, each in enumerate(keys["cosigners"])
        ]
        descriptors = [
            bdk.Descriptor(
                f"wsh(sortedmulti(2,{','.join(f'{part}/{branch}/*' for part in parts)}))", bdk.NetworkKind.TEST
            )
            for branch in (0, 1)
        ]
        self.wallet = bdk.Wallet(*descriptors, bdk.Network.REGTEST, bdk.Persister.new_in_memory())
        self.options = bdk.SignOptions(
            trust_witness_utxo=False,
            assume_height=None,
            allow_all_sighashes=False,
            try_finalize=False,
            sign_with_tap_internal_key=False,
            allow_grinding=True,
        )

    @staticmethod
    def _parsed(data: bytes) -> Any:  # noqa: ANN401  the package has no annotations
        import bdkpython as bdk

        return bdk.Psbt(base64.b64encode(data).decode())

    def cosign(self, unsigned: bytes) -> bytes:
        psbt = self._parsed(unsigned)
        self.wallet.sign(psbt, self.options)
        return base64.b64decode(psbt.serialize())

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        final = self._parsed(first).combine(self._parsed(second)).finalize()
        if not final.could_finalize:
            raise SystemExit(str(final.errors))
        return bytes(final.psbt.extract_tx().serialize())


class Wally(Peer):
    package = "wallycore"
    note = "verified by its primitives; the library itself finalizes a bad signature"

    def setup(self, keys: Keys) -> None:
        import wallycore as wally

        self.root = wally.bip32_key_from_base58(keys["cosigners"][0]["master_tprv"])

    def own_copy(self, unsigned: bytes) -> None:
        import wallycore as wally

        self.own = wally.psbt_from_bytes(unsigned, 0)

    def cosign(self, unsigned: bytes) -> bytes:
        import wallycore as wally

        psbt = wally.psbt_from_bytes(unsigned, 0)
        wally.psbt_signing_cache_enable(psbt, 0)
        wally.psbt_sign_bip32(psbt, self.root, wally.EC_FLAG_GRIND_R)
        return bytes(wally.psbt_to_bytes(psbt, 0))

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        import wallycore as wally

        answers = [wally.psbt_from_bytes(data, 0) for data in (first, second)]
        transaction = wally.psbt_get_global_tx(self.own)
        wally.psbt_signing_cache_enable(self.own, 0)
        for index in range(wally.psbt_get_num_inputs(self.own)):
            script = wally.psbt_get_input_witness_script(self.own, index)
            digest = wally.psbt_get_input_signature_hash(self.own, index, transaction, script, 0)
            pubkeys = [bytes(script[2 + 34 * key : 35 + 34 * key]) for key in range(3)]
            for answer in answers:
                found = [wally.psbt_find_input_signature(answer, index, pubkey) for pubkey in pubkeys]
                for pubkey, place in zip(pubkeys, found, strict=True):
                    if place:
                        der = wally.psbt_get_input_signature(answer, index, place - 1)[:-1]
                        wally.ec_sig_verify(pubkey, digest, wally.EC_FLAG_ECDSA, wally.ec_sig_from_der(der))
        wally.psbt_combine(answers[0], answers[1])
        wally.psbt_finalize(answers[0], 0)
        return bytes(wally.tx_to_bytes(wally.psbt_extract(answers[0], 0), wally.WALLY_TX_FLAG_USE_WITNESS))


class Btclib(Peer):
    package = "btclib-wallet"
    note = "verifies on return, in finalize and in extract"

    def setup(self, keys: Keys) -> None:
        from btclib_wallet.psbt import psbt as module
        from btclib_wallet.psbt_signer import SoftwareSigner

        self.module = module
        self.signer = SoftwareSigner(keys["cosigners"][0]["master_tprv"])

    def own_copy(self, unsigned: bytes) -> None:
        self.own = self.module.Psbt.parse(unsigned)

    def cosign(self, unsigned: bytes) -> bytes:
        return bytes(self.signer.sign_psbt(self.module.Psbt.parse(unsigned)).serialize())

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        answers = [self.module.Psbt.parse(data) for data in (first, second)]
        for answer in answers:
            self.module.assert_signatures_only(self.own, answer)
        final = self.module.finalize(self.module.combine(answers))
        return bytes(self.module.extract_tx(final).serialize(include_witness=True))


class Bitcointx(Peer):
    """Its own PSBT module, which wormsig does not use."""

    package = "python-bitcointx"
    note = "verified by its primitives; the library itself finalizes a bad signature"

    def setup(self, keys: Keys) -> None:
        from wormsig.bitcoin import secp

        secp.equip_bitcointx()  # it finds no library by itself
        import bitcointx

        bitcointx.select_chain_params("bitcoin/regtest")
        from bitcointx.core.key import KeyStore
        from bitcointx.core.psbt import PartiallySignedTransaction
        from bitcointx.wallet import CCoinExtKey

        self.type: Any = PartiallySignedTransaction
        self.keystore: Any = KeyStore
        self.store = KeyStore((CCoinExtKey(keys["cosigners"][0]["master_tprv"]), "m/48h/1h/0h/2h/{0,1}/*"))

    def own_copy(self, unsigned: bytes) -> None:
        self.own = self.type.from_binary(unsigned)

    def cosign(self, unsigned: bytes) -> bytes:
        psbt = self.type.from_binary(unsigned)
        psbt.sign(self.store, finalize=False)
        return bytes(psbt.serialize())

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        from bitcointx.core.script import SIGHASH_ALL, SIGVERSION_WITNESS_V0

        answers = [self.type.from_binary(data) for data in (first, second)]
        for index, mine in enumerate(self.own.inputs):
            digest = mine.witness_script.sighash(
                self.own.unsigned_tx,
                index,
                SIGHASH_ALL,
                amount=mine.witness_utxo.nValue,
                sigversion=SIGVERSION_WITNESS_V0,
            )
            for answer in answers:
                for pubkey, signature in answer.inputs[index].partial_sigs.items():
                    if not pubkey.verify(digest, signature[:-1]):
                        raise SystemExit("bad signature")
        whole = answers[0].combine(answers[1])
        if not whole.sign(self.keystore()).is_final:
            raise SystemExit("not final")
        return bytes(whole.extract_transaction().serialize())


class Core(Peer):
    """bitcoind over RPC: base64 and JSON belong to it."""

    note = "over RPC: one call to sign, two to combine and finalize; verifies inside finalize"

    def start(self, bitcoind: str) -> None:
        from pathlib import Path

        from wormsig.node.regtest import RegtestNode

        self.node = RegtestNode(binary=Path(bitcoind))
        self.rpc = self.node.rpc

    def stop(self) -> None:
        self.node.stop()

    def version(self) -> str:
        return str(self.rpc.call("getnetworkinfo")["subversion"])

    def setup(self, keys: Keys) -> None:
        kinds = ["account_tprv", "account_tpub", "account_tpub"]
        parts = [
            f"[{each['fingerprint']}{each['path'][1:]}]{each[kinds[number]]}/<0;1>/*"
            for number, each in enumerate(keys["cosigners"])
        ]
        descriptor = f"wsh(sortedmulti(2,{','.join(parts)}))"
        checksum = self.rpc.call("getdescriptorinfo", descriptor)["checksum"]
        name = f"a{keys['inputs']}-{self.node.rpc.call('uptime')}-{len(self.node.rpc.call('listwallets'))}"
        self.rpc.call("createwallet", wallet_name=name, blank=True)
        self.wallet = self.rpc.for_wallet(name)
        item = {
            "desc": f"{descriptor}#{checksum}",
            "active": True,
            "timestamp": "now",
            "range": [0, max(keys["inputs"], 9)],
        }
        answer = self.wallet.call("importdescriptors", [item])
        if not answer[0]["success"]:
            raise SystemExit(str(answer))

    def cosign(self, unsigned: bytes) -> bytes:
        text = base64.b64encode(unsigned).decode()
        answer = self.wallet.call("walletprocesspsbt", text, True, "ALL", True, False)
        return base64.b64decode(answer["psbt"])

    def coordinate(self, first: bytes, second: bytes) -> bytes:
        answers = [base64.b64encode(data).decode() for data in (first, second)]
        final = self.rpc.call("finalizepsbt", self.rpc.call("combinepsbt", answers))
        return bytes.fromhex(final["hex"])

    def cpu(self) -> float:
        return cpu_of(self.node.pid)


PEERS: dict[str, type[Peer]] = {
    "wormsig": Wormsig,
    "wormsig+wallet": WormsigWallet,
    "wallycore": Wally,
    "bdkpython": Bdk,
    "embit": Embit,
    "btclib-wallet": Btclib,
    "python-bitcointx": Bitcointx,
    "bitcoind": Core,
}


class Limit:
    """What nobody can avoid: the libsecp256k1 calls and the hashing, in one thread, through ctypes.

    Signatures without grinding for a low R (with it a signer needs two tries on average), verifications with key and
    signature parsed, one BIP32 step an input for a cosigner who knows no wallet, one per key and input with it. It is
    written with ctypes alone, so that wormsig's own wrappers do not measure themselves.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.calls = Calls()
        self.second = Calls()
        self.digests = [hashlib.sha256(b"%d" % number).digest() for number in range(inputs)]
        self.ders = [self.calls.sign(digest) for digest in self.digests]
        self.tweaks = [hmac.digest(b"chain", b"%d" % number, "sha512")[:32] for number in range(inputs)]
        self.blobs = [os.urandom(874) for _ in range(inputs)]

    def run(self) -> dict[str, float]:
        """Seconds of each kind of work in one thread."""
        steps: dict[str, Callable[[], object]] = {
            "sign": lambda: [self.calls.sign(digest) for digest in self.digests],
            "sign low R": lambda: [self.calls.sign_low_r(digest) for digest in self.digests],
            "verify": lambda: self._verify(self.calls),
            "derive": lambda: [self.calls.step(number, self.tweaks) for number in range(self.inputs)],
            "derive 3": lambda: [
                self.calls.step(number, self.tweaks) for number in range(self.inputs) for _ in range(3)
            ],
            "hash": self._hash,
        }
        found = {}
        for name, work in steps.items():
            began = time.perf_counter()
            work()
            found[name] = time.perf_counter() - began
        return found

    def in_two_threads(self) -> float:
        """Seconds in which two threads do all verifications once each."""
        other = threading.Thread(target=self._verify, args=(self.second,))
        began = time.perf_counter()
        other.start()
        self._verify(self.calls)
        other.join()
        return time.perf_counter() - began

    def _verify(self, calls: Calls) -> None:
        for digest, der in zip(self.digests, self.ders, strict=True):
            calls.verify(digest, der)
            calls.verify(digest, der)

    def _hash(self) -> None:
        sha256 = hashlib.sha256
        for blob in self.blobs:  # txid of the previous transaction, BIP143 preimage, witness script
            sha256(sha256(blob[:234]).digest()).digest()
            sha256(sha256(blob[:290]).digest()).digest()
            sha256(blob[:105]).digest()


class Calls:
    """Bare calls of the library, with buffers made once."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("_btclib_secp256k1")
        if found is None or found.origin is None:
            raise SystemExit("btclib-secp256k1 is not installed")
        lib = ctypes.CDLL(found.origin)
        lib.secp256k1_context_create.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(lib.secp256k1_context_create(1))
        self.lib = lib
        self.signature, self.point = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
        self.der, self.size = ctypes.create_string_buffer(72), ctypes.c_size_t(72)
        self.out, self.length = ctypes.create_string_buffer(33), ctypes.c_size_t(33)
        self.seckey = hashlib.sha256(b"limit").digest()
        lib.secp256k1_ec_pubkey_create(self.context, self.point, self.seckey)
        self.pubkey = self._serialized()

    def _serialized(self) -> bytes:
        self.length.value = 33
        self.lib.secp256k1_ec_pubkey_serialize(self.context, self.out, ctypes.byref(self.length), self.point, 258)
        return self.out.raw

    def sign(self, digest: bytes) -> bytes:
        self.lib.secp256k1_ecdsa_sign(self.context, self.signature, digest, self.seckey, None, None)
        self.size.value = 72
        self.lib.secp256k1_ecdsa_signature_serialize_der(
            self.context, self.der, ctypes.byref(self.size), self.signature
        )
        return self.der.raw[: self.size.value]

    def sign_low_r(self, digest: bytes) -> bytes:
        """As Bitcoin Core, wallycore, bdk and embit do: again with other extra entropy until R takes 32 bytes."""
        extra, counter = None, 0
        while True:
            self.lib.secp256k1_ecdsa_sign(self.context, self.signature, digest, self.seckey, None, extra)
            self.size.value = 72
            self.lib.secp256k1_ecdsa_signature_serialize_der(
                self.context, self.der, ctypes.byref(self.size), self.signature
            )
            der = self.der.raw[: self.size.value]
            if der[3] == 32:
                return der
            counter += 1
            extra = counter.to_bytes(32, "little")

    def verify(self, digest: bytes, der: bytes) -> None:
        self.lib.secp256k1_ec_pubkey_parse(self.context, self.point, self.pubkey, ctypes.c_size_t(33))
        self.lib.secp256k1_ecdsa_signature_parse_der(self.context, self.signature, der, ctypes.c_size_t(len(der)))
        if self.lib.secp256k1_ecdsa_verify(self.context, self.signature, digest, self.point) != 1:
            raise SystemExit("the limit's own signature is bad")

    def step(self, number: int, tweaks: list[bytes]) -> bytes:
        """CKDpub: HMAC-SHA512, parse, add the tweak's point, serialize."""
        hmac.digest(self.seckey, self.pubkey + number.to_bytes(4, "big"), "sha512")
        self.lib.secp256k1_ec_pubkey_parse(self.context, self.point, self.pubkey, ctypes.c_size_t(33))
        self.lib.secp256k1_ec_pubkey_tweak_add(self.context, self.point, tweaks[number])
        return self._serialized()
