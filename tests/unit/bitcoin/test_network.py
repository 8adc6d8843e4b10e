from __future__ import annotations

import pytest
from bitcointx import ChainParams, segwit_addr
from bitcointx.core.script import CScript
from bitcointx.wallet import CCoinAddress
from hypothesis import given, settings
from hypothesis import strategies as st

from wormsig.bitcoin import base58
from wormsig.bitcoin.network import Network, address_of, script_of
from wormsig.bitcoin.script import multisig_script, p2pkh_script, p2sh_script, p2wpkh_script, p2wsh_script
from wormsig.errors import InputError

MAIN, TEST3, TEST4, SIGNET, REGTEST = Network
G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")

# BIP350's valid addresses.
VALID = [
    (MAIN, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    (
        TEST3,
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    ),
    (
        MAIN,
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
    ),
    (MAIN, "BC1SW50QGDZ25J", "6002751e"),
    (MAIN, "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "5210751e76e8199196d454941c45d1b3a323"),
    (
        SIGNET,
        "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
        "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
    ),
    (
        MAIN,
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
    (MAIN, "bc1pfeessrawgf", "51024e73"),
    (MAIN, "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", "76a914751e76e8199196d454941c45d1b3a323f1433bd688ac"),
    (MAIN, "3JvL6Ymt8MVWiCNHC7oWU6nLeHNJKLZGLN", "a914bcfeb728b584253d5f3f70bcb780e9ef218a68f487"),
]


@pytest.mark.parametrize(("network", "address", "script"), VALID)
def test_addresses(network: Network, address: str, script: str) -> None:
    assert script_of(address, network).hex() == script
    written = address_of(bytes.fromhex(script), network)
    assert written == (address if address[0] in "13" else address.lower())


# BIP350's invalid addresses, and what is said about them.
@pytest.mark.parametrize(
    ("network", "address", "message"),
    [
        (MAIN, "tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "not base58"),
        (MAIN, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "as bech32, .* needs bech32m"),
        (TEST3, "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "as bech32, .* needs bech32m"),
        (MAIN, "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "as bech32, .* needs bech32m"),
        (MAIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "as bech32m, .* needs bech32"),
        (TEST3, "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47", "as bech32m, .* needs bech32"),
        (MAIN, "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "checksum"),
        (MAIN, "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "impossible witness version"),
        (MAIN, "bc1pw5dgrnzv", r"wrong length \(1 bytes\)"),
        (MAIN, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", r"length \(41 bytes\)"),
        (MAIN, "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", r"length \(16 bytes\)"),
        (TEST3, "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "mixes upper and lower case"),
        (MAIN, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "padding"),
        (TEST3, "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", "padding"),
        (MAIN, "bc1gmk9yu", "checksum"),
        (MAIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "checksum"),
        (MAIN, "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMh", "checksum"),
        (MAIN, "", "not an address"),
        (MAIN, "bc1q" + "q" * 100, "not an address"),
        (MAIN, "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAM\u0397", "not an address"),
        (MAIN, "bitcoin:1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", "not an address"),
        (MAIN, "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1", "not a Bitcoin address"),  # Litecoin
    ],
)
def test_wrong_addresses(network: Network, address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        script_of(address, network)


def test_bech32_of_something_else_and_base58_of_another_length() -> None:
    other = segwit_addr.bech32_encode(segwit_addr.Encoding.BECH32, "bc1q", [0] * 33)
    with pytest.raises(InputError, match="not a Bitcoin address"):
        script_of(other, MAIN)
    with pytest.raises(InputError, match="wrong length"):
        script_of(base58.encode_check(bytes(20)), MAIN)


@pytest.mark.parametrize("script", [p2pkh_script(G), p2sh_script(b"\x51"), p2wpkh_script(G), p2wsh_script(b"\x51")])
@pytest.mark.parametrize("wrong", list(Network))
@pytest.mark.parametrize("right", list(Network))
def test_the_other_network_is_named(right: Network, wrong: Network, script: bytes) -> None:
    address = address_of(script, right)
    assert address is not None
    assert script_of(address, right) == script
    if address == address_of(script, wrong):
        return
    with pytest.raises(InputError, match=f"for .*{right}.*, not for {wrong}"):
        script_of(address, wrong)


def test_networks_that_cannot_be_told_apart_are_all_named() -> None:
    with pytest.raises(InputError, match="for testnet3, testnet4 or signet, not for mainnet"):
        script_of("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", MAIN)
    with pytest.raises(InputError, match="for mainnet, not for regtest"):
        script_of("1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", REGTEST)


CHAINS = {MAIN: "bitcoin", TEST3: "bitcoin/testnet", TEST4: "bitcoin/testnet", SIGNET: "bitcoin/signet"}
CHAINS[REGTEST] = "bitcoin/regtest"


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_second_opinion(program: bytes) -> None:
    scripts = [b"\x00\x20" + program, b"\x00\x14" + program[:20], b"\xa9\x14" + program[:20] + b"\x87"]
    scripts.append(b"\x76\xa9\x14" + program[:20] + b"\x88\xac")
    for network, chain in CHAINS.items():
        with ChainParams(chain):
            for script in scripts:
                address = address_of(script, network)
                assert address == str(CCoinAddress.from_scriptPubKey(CScript(script)))
                assert script_of(address, network) == script


@pytest.mark.parametrize("script", [b"", b"\x6a\x01a", multisig_script(1, (G,)), b"\x51", b"\x21" + G + b"\xac"])
def test_scripts_without_an_address(script: bytes) -> None:
    assert address_of(script, MAIN) is None


def test_witness_v0_of_a_wrong_length_has_no_address() -> None:
    assert address_of(b"\x00\x10" + bytes(16), MAIN) is None


def test_the_five_networks() -> None:
    assert [network.core_name for network in Network] == ["main", "test", "testnet4", "signet", "regtest"]
    assert [network.coin_type for network in Network] == [0, 1, 1, 1, 1]
    assert [network.hrp for network in Network] == ["bc", "tb", "tb", "tb", "bcrt"]
    assert [network.is_mainnet for network in Network] == [True, False, False, False, False]
    assert [str(network) for network in Network] == ["mainnet", "testnet3", "testnet4", "signet", "regtest"]
    for network in Network:
        assert len(network.genesis_hash) == 64
        assert Network.of_core_name(network.core_name) is network
    assert len({network.genesis_hash for network in Network}) == 5
    assert Network.of_core_name("mainnet") is None


def test_base58check() -> None:
    for payload in (b"\x00" * 5, b"\x00\x00abc", b"\xff" * 78, b"a"):
        assert base58.decode_check(base58.encode_check(payload)) == payload
    for wrong in ("", "1", "0OIl" * 3, "z" * 129, base58.encode_check(b"abc")[::-1]):
        with pytest.raises(InputError):
            base58.decode_check(wrong)
