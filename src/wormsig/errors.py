"""The one error tree: what a person reads, what to do next, the exit code, and who may be at fault.

Every failure that wormsig foresees is a `WormsigError`; anything else that reaches the command line is a bug and
exits with 1. Messages are for people and never carry a secret. Words that come from outside (a peer, a node, a
file) may stand in a message: `render.sanitize` escapes them where they are printed.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """What a script can rely on; docs/exit-codes.md is generated from this table."""

    DONE = 0
    BUG = 1
    USAGE = 2
    INPUT = 3
    REFUSED = 4
    PEER = 5
    TRANSPORT = 6
    THRESHOLD = 7
    NODE = 8
    STORAGE = 9
    INTERRUPTED = 130
    TERMINATED = 143


class Fault(enum.Enum):
    """Who may be at fault, as far as the evidence goes."""

    US = "this side"
    PEER = "the other side"
    NODE = "the node"
    NETWORK = "the network or the relay"
    UNKNOWN = "unknown"


class WormsigError(Exception):
    """Base of the tree.

    Args:
        message: One sentence without a final stop: what happened, to whom.
        hint: What to do next, when there is something to do.
        fault: Who may be at fault; the class's own default when left out.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG
    default_fault: ClassVar[Fault] = Fault.UNKNOWN
    resumable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, fault: Fault | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fault = fault or self.default_fault


class UsageError(WormsigError):
    """Wrong usage or configuration, or a question that needs a person where none is there."""

    exit_code = ExitCode.USAGE
    default_fault = Fault.US


class InputError(WormsigError):
    """Bad input of ours: a file, a PSBT, a descriptor, a key."""

    exit_code = ExitCode.INPUT
    default_fault = Fault.US


class PsbtError(InputError):
    """Bytes that are not a valid PSBT, with the place.

    Args:
        message: What is wrong.
        where: The map: `global map`, `input 3`, `output 0`.
        field: The key type's name as its BIP writes it, e.g. `PSBT_IN_PARTIAL_SIG`.
        hint: What to do next.
    """

    def __init__(
        self, message: str, *, where: str | None = None, field: str | None = None, hint: str | None = None
    ) -> None:
        place = ", ".join(part for part in (where, field) if part)
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.reason = message
        self.where = where
        self.field = field


class NotSupportedError(InputError):
    """Valid, but of a kind that this version does not handle yet."""


class DescriptorError(InputError):
    """A descriptor or an extended key that cannot be used for a wallet."""


class KeyFileError(InputError):
    """A key file that cannot be opened: missing, malformed, or the passphrase is wrong."""


class RefusedError(WormsigError):
    """The review has an error, or a person or a policy said no."""

    exit_code = ExitCode.REFUSED
    default_fault = Fault.UNKNOWN


class PeerError(WormsigError):
    """The other side sent something malformed, changed or false."""

    exit_code = ExitCode.PEER
    default_fault = Fault.PEER


class TransportError(WormsigError):
    """Relay unreachable, wrong or burned code, peer gone, time limit passed."""

    exit_code = ExitCode.TRANSPORT
    default_fault = Fault.NETWORK
    resumable = True


class ThresholdError(WormsigError):
    """Too few valid signatures: cosigners declined or were never there."""

    exit_code = ExitCode.THRESHOLD
    resumable = True


class NodeError(WormsigError):
    """The node cannot be reached, is on another chain, or refused."""

    exit_code = ExitCode.NODE
    default_fault = Fault.NODE
    resumable = True


class StorageError(WormsigError):
    """The journal, the registry or another file of ours cannot be read or written."""

    exit_code = ExitCode.STORAGE
    default_fault = Fault.US


class InterruptedBySignalError(WormsigError):
    """Ctrl-C (130), or SIGTERM or SIGHUP (143); state is kept."""

    exit_code = ExitCode.INTERRUPTED
    default_fault = Fault.US
    resumable = True
