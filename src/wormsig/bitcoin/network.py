"""The five networks, and addresses to scripts and back.

The network is always an explicit argument: bitcointx's chain parameters live in a context variable that new threads
do not inherit, and know no testnet4. Of bitcointx only the reading of bech32 is used here, which takes the prefix as an
argument (docs/adr/0002).
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from wormsig.bitcoin import base58
from wormsig.bitcoin.bech32 import segwit_address
from wormsig.bitcoin.script import ScriptType, classify, witness_program
from wormsig.errors import InputError


class _Parameters(msgspec.Struct, frozen=True):
    core_name: str
    coin_type: int
    hrp: str
    pubkey_version: int
    script_version: int
    genesis_hash: str


_PARAMETERS: Final = {
    "mainnet": _Parameters("main", 0, "bc", 0, 5, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"),
    "testnet3": _Parameters(
        "test", 1, "tb", 111, 196, "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"
    ),
    "testnet4": _Parameters(
        "testnet4", 1, "tb", 111, 196, "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"
    ),
    "signet": _Parameters(
        "signet", 1, "tb", 111, 196, "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"
    ),
    "regtest": _Parameters(
        "regtest", 1, "bcrt", 111, 196, "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    ),
}


class Network(enum.Enum):
    """A chain; the value is what people write."""

    MAINNET = "mainnet"
    TESTNET3 = "testnet3"
    TESTNET4 = "testnet4"
    SIGNET = "signet"
    REGTEST = "regtest"

    def __str__(self) -> str:
        return self.value

    @property
    def core_name(self) -> str:
        """What bitcoind calls it (`getblockchaininfo`)."""
        return _PARAMETERS[self.value].core_name

    @property
    def coin_type(self) -> int:
        """BIP44's coin type: 0 or 1."""
        return _PARAMETERS[self.value].coin_type

    @property
    def genesis_hash(self) -> str:
        """The first block's hash as people see it; every signet shares one."""
        return _PARAMETERS[self.value].genesis_hash

    @property
    def hrp(self) -> str:
        """The prefix of its bech32 addresses."""
        return _PARAMETERS[self.value].hrp

    @property
    def is_mainnet(self) -> bool:
        """Whether coins are worth something, and keys are written xpub."""
        return self is Network.MAINNET

    @classmethod
    def named(cls, name: str) -> Network | None:
        """The network that people call so, or None."""
        return next((network for network in cls if network.value == name), None)

    @classmethod
    def of_core_name(cls, name: str) -> Network | None:
        """The network that bitcoind calls so, or None."""
        return next((network for network in cls if network.core_name == name), None)


def address_of(script: bytes, network: Network) -> str | None:
    """The address of a scriptPubKey, or None when it has none (OP_RETURN, bare multisig, unknown scripts).

    Segwit v0 of 20 or 32 bytes, taproot, pay-to-anchor and future witness versions have one (BIP173, BIP350).
    """
    parameters = _PARAMETERS[network.value]
    kind = classify(script)
    if kind is ScriptType.PKH:
        return base58.encode_check(bytes((parameters.pubkey_version,)) + script[3:23])
    if kind is ScriptType.SH:
        return base58.encode_check(bytes((parameters.script_version,)) + script[2:22])
    program = witness_program(script)
    if program is None:
        return None
    version, data = program
    if version == 0 and len(data) not in {20, 32}:
        return None
    return segwit_address(parameters.hrp, version, data)


def _names(networks: list[Network]) -> str:
    names = [network.value for network in networks]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def _other_network(known: list[Network], network: Network) -> InputError:
    return InputError(
        f"address is for {_names(known)}, not for {network}", hint="ask for an address of the right network"
    )


def _witness_script(version: int, program: bytes, *, checksum_m: bool) -> bytes:
    if version > 16:
        raise InputError("address has an impossible witness version")
    if checksum_m != (version != 0):
        right, wrong = ("bech32m", "bech32") if version else ("bech32", "bech32m")
        raise InputError(f"address is encoded as {wrong}, its witness version {version} needs {right}")
    if not 2 <= len(program) <= 40 or (version == 0 and len(program) not in {20, 32}):
        raise InputError(f"address has a witness program of a wrong length ({len(program)} bytes)")
    return bytes((version + 0x50 if version else 0, len(program))) + program


def _script_of_bech32(text: str, network: Network) -> bytes:
    from bitcointx import segwit_addr  # noqa: PLC0415  # many commands read no address

    if text.lower() != text and text.upper() != text:
        raise InputError("address mixes upper and lower case")
    encoding, hrp, data = segwit_addr.bech32_decode(text)
    if encoding is None or not data:
        raise InputError("address has a wrong checksum: a character is mistyped or missing")
    known = [candidate for candidate in Network if candidate.hrp == hrp]
    if not known:
        raise InputError("address is not a Bitcoin address")
    if network not in known:
        raise _other_network(known, network)
    program = segwit_addr.convertbits(data[1:], 5, 8, pad=False)
    if program is None:
        raise InputError("address has wrong padding")
    checksum_m = encoding == segwit_addr.Encoding.BECH32M
    return _witness_script(data[0], bytes(program), checksum_m=checksum_m)


def _script_of_base58(text: str, network: Network) -> bytes:
    try:
        payload = base58.decode_check(text)
    except InputError as error:
        raise InputError(f"address: {error.message}") from None
    if len(payload) != 21:
        raise InputError("address: wrong length")
    version, digest = payload[0], payload[1:]
    known = [
        candidate
        for candidate in Network
        if version in {_PARAMETERS[candidate.value].pubkey_version, _PARAMETERS[candidate.value].script_version}
    ]
    if not known:
        raise InputError("address is not a Bitcoin address")
    if network not in known:
        raise _other_network(known, network)
    if version == _PARAMETERS[network.value].pubkey_version:
        return b"\x76\xa9\x14" + digest + b"\x88\xac"
    return b"\xa9\x14" + digest + b"\x87"


def script_of(address: str, network: Network) -> bytes:
    """The scriptPubKey of an address.

    Raises:
        InputError: Not an address, mistyped, or of another network, which is named when it can be told.
    """
    text = address.strip()
    if not 1 <= len(text) <= 90 or not text.isascii() or not text.isalnum():
        raise InputError("not an address")
    if text.lower().startswith(tuple(f"{network.hrp}1" for network in Network)):
        return _script_of_bech32(text, network)
    return _script_of_base58(text, network)
