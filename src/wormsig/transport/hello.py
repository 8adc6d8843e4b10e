"""What the two sides say about themselves before any letter: the application version dict of the wormhole."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wormsig import __version__
from wormsig.ceremony.messages import PROTOCOL, Role
from wormsig.transport.errors import SameRoleError, VersionError

COMMAND: dict[Role, str] = {"coordinator": "wormsig send", "cosigner": "wormsig receive"}


class PeerInfo(msgspec.Struct, frozen=True):
    """What the other side says about itself. Unknown fields are ignored: a later version may say more.

    Attributes:
        role: What it is in this ceremony.
        version: Its version, for the receipt; decides nothing.
        protocols: The protocol numbers that it speaks.
        wants_verify: Its person wants to compare the verifier words; then both do.
    """

    role: Role
    version: Annotated[str, Meta(max_length=40)]
    protocols: Annotated[tuple[Annotated[int, Meta(ge=1, le=1_000_000)], ...], Meta(min_length=1, max_length=64)]
    wants_verify: bool = msgspec.field(name="verify", default=False)


def app_versions(role: Role, *, verify: bool) -> dict[str, Any]:
    """The version dict of this side."""
    info = PeerInfo(role=role, version=__version__, protocols=(PROTOCOL,), wants_verify=verify)
    return {"wormsig": msgspec.to_builtins(info)}


def agree(role: Role, theirs: object) -> PeerInfo:
    """Check what the other side said. Both sides come to the same result.

    Args:
        role: This side's role.
        theirs: The other side's version dict, unchecked.

    Returns:
        The other side.

    Raises:
        VersionError: Not wormsig, or no protocol in common.
        SameRoleError: Both coordinators, or both cosigners.
    """
    said = theirs.get("wormsig") if isinstance(theirs, dict) else None
    if said is None:
        raise VersionError("the other side is not wormsig", hint="both sides need wormsig; plain wormhole will not do")
    try:
        peer = msgspec.convert(said, PeerInfo)
    except msgspec.ValidationError as error:
        raise VersionError(f"the other side introduced itself in a way that makes no sense: {error}") from None
    if PROTOCOL not in peer.protocols:
        numbers = ", ".join(map(str, peer.protocols[:8]))
        raise VersionError(
            f"no protocol in common: this side speaks {PROTOCOL}, the other side (version {peer.version}) {numbers}",
            hint="upgrade the older side; nothing was sent",
        )
    if peer.role == role:
        raise SameRoleError(
            f"the other side is a {role} too",
            hint=f"one side runs `{COMMAND['coordinator']}`, the other `{COMMAND['cosigner']}`",
        )
    return peer
