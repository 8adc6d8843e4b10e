"""The forms in which a wallet arrives: a descriptor, two of them (receive and change), or JSON.

Understood JSON: a wallet file of ours (`record`), and what Bitcoin Core's `listdescriptors` prints, when it holds
exactly one shared wallet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace  # noqa: TID251  `Source` is a dataclass
from typing import TYPE_CHECKING, Any

from wormsig.errors import DescriptorError, InputError, WormsigError
from wormsig.wallet.checksum import with_checksum
from wormsig.wallet.descriptor import checked_body, parse_descriptor
from wormsig.wallet.grammar import plain_markers, split_checksum, split_multisig
from wormsig.wallet.guard import refuse_private_keys
from wormsig.wallet.record import decode_json, from_record, is_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wormsig.bitcoin.network import Network
    from wormsig.wallet.model import Wallet


@dataclass(frozen=True, slots=True)
class Source:
    """What somebody gave, before it is judged.

    Attributes:
        descriptor: One descriptor with both branches, as given or joined.
        network: What the source says, if it does.
        name: The wallet's name in the source, if it has one.
        names: Master fingerprint -> the cosigner's name.
        birth: Unix time, if the source says one.
        has_checksum: Whether the text carried a checksum.
    """

    descriptor: str
    network: Network | None = None
    name: str | None = None
    names: Mapping[bytes, str] = field(default_factory=dict)
    birth: int | None = None
    has_checksum: bool = True

    def wallet(
        self,
        network: Network | None = None,
        *,
        name: str,
        names: Mapping[bytes, str] | None = None,
        birth: int | None = None,
    ) -> Wallet:
        """Judge the source; what the caller says goes before what the source says.

        Args:
            network: The chain; must agree with the source's.
            name: The wallet's name.
            names: Master fingerprint -> name; added to the source's.
            birth: Unix time.

        Raises:
            DescriptorError: See `parse_descriptor`; also when the networks disagree.
            UsageError: See `parse_descriptor`.
        """
        if network is not None and self.network not in {None, network}:
            theirs = self.network.value if self.network else ""
            raise DescriptorError(f"the wallet is for {theirs}, and the network is {network.value}")
        return parse_descriptor(
            self.descriptor,
            network or self.network,
            names={**self.names, **(names or {})},
            name=name,
            birth=birth if birth is not None else self.birth,
        )


def read_source(data: bytes, *, called: str | None = None) -> Source:
    """Read a descriptor, two descriptors or JSON.

    Args:
        data: What a file or standard input held.
        called: The file, for messages.

    Raises:
        DescriptorError: None of these; private keys are refused without being shown.
    """
    try:
        return _read(data)
    except DescriptorError as error:
        if called is not None:
            error.message = f"{called}: {error.message}"
        raise


def _read(data: bytes) -> Source:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        raise DescriptorError("the wallet is not text") from None
    refuse_private_keys(text)
    if text.startswith(("{", "[")):
        return _from_json(text)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return _from_descriptors(lines)


def _from_descriptors(lines: list[str]) -> Source:
    if not lines:
        raise DescriptorError("there is no descriptor")
    checksum = all("#" in line for line in lines)
    if len(lines) == 1:
        return Source(lines[0], has_checksum=checksum)
    if len(lines) == 2:
        return Source(join_branches(lines[0], lines[1]), has_checksum=checksum)
    raise DescriptorError(
        f"{len(lines)} descriptors are too many", hint="give one with /<0;1>/*, or the receive and the change one"
    )


def join_branches(first: str, second: str) -> str:
    """One descriptor out of the receive and the change one, in either order.

    Args:
        first: A descriptor whose keys all end in `/0/*`, or in other steps such as `/2/*`; checksum optional.
        second: The same with the other branch: `/1/*`, the next step each time.

    Returns:
        The descriptor with `/<0;1>/*`, and its checksum.

    Raises:
        DescriptorError: A checksum is wrong, or they are not the two halves of one wallet.
    """
    halves = [plain_markers(checked_body(text)) for text in (first, second)]
    steps = [[int(step) for step in _LAST_STEP.findall(half)] for half in halves]
    if steps[0] > steps[1]:
        halves.reverse()
        steps.reverse()
    receive, change = steps
    same = [_LAST_STEP.sub("/*", half) for half in halves]
    if receive and same[0] == same[1] and change == [step + 1 for step in receive]:
        pairs = iter(zip(receive, change, strict=True))
        return with_checksum(_LAST_STEP.sub(lambda _: "/<{};{}>/*".format(*next(pairs)), halves[0]))
    raise DescriptorError(
        "the two descriptors are not the receive and the change branch of one wallet",
        hint="they must be the same but for /0/* and /1/*",
    )


_LAST_STEP = re.compile(r"/(0|[1-9][0-9]{0,9})/\*", re.ASCII)


def _from_json(text: str) -> Source:
    try:
        value = decode_json(text.encode())
    except InputError as error:
        raise DescriptorError(f"the wallet looks like JSON and is {error.message}") from None
    if is_record(value):
        return _from_record(value)
    entries = value.get("descriptors") if isinstance(value, dict) else value
    if isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries):
        return _from_core(entries)
    raise DescriptorError(
        "this JSON is not a wallet", hint="understood: `wormsig wallet export --json`, and Core's listdescriptors"
    )


def _from_record(value: dict[str, Any]) -> Source:
    try:
        wallet = from_record(value, "the wallet file")
    except WormsigError as error:
        raise DescriptorError(error.message, hint=error.hint) from None
    return Source(
        wallet.descriptor,
        wallet.network,
        wallet.name,
        {key.fingerprint: key.name for key in wallet.keys if key.name is not None},
        wallet.birth,
    )


_GENESIS_TIME = 1_231_006_505
"""Core writes 1 for a birth that it does not know."""


def _from_core(entries: list[dict[str, Any]]) -> Source:
    """Core's `listdescriptors`: the one shared wallet among them, active ones first."""
    shared = [entry for entry in entries if _is_shared(entry)]
    chosen = [entry for entry in shared if entry.get("active") is True] or shared
    if not 1 <= len(chosen) <= 2:
        raise DescriptorError(
            f"the JSON holds {len(chosen)} descriptors of several keys, not one wallet's two",
            hint="give the descriptor itself",
        )
    found = _from_descriptors([entry["desc"].strip() for entry in chosen])
    times = [entry.get("timestamp") for entry in chosen]
    known = [time for time in times if isinstance(time, int) and time > _GENESIS_TIME]
    return replace(found, birth=min(known) if len(known) == len(times) else None)


def _is_shared(entry: dict[str, Any]) -> bool:
    """Whether an entry looks like a wallet of several keys: Core lists single-key descriptors of its own beside it."""
    text = entry.get("desc")
    if not isinstance(text, str):
        return False
    body = split_checksum(text.strip())[0]
    if split_multisig(body) is not None:
        return True
    return re.match(r"(sh\()?wsh\(|tr\(", body, re.ASCII) is not None and len(_EXTENDED.findall(body)) > 1


_EXTENDED = re.compile(r"[xt]pub[1-9A-HJ-NP-Za-km-z]{100,}", re.ASCII)
