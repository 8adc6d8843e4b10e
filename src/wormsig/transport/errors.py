"""How a channel can fail, each in words for a person. Exit 6, or 5 where the other side is at fault."""

from __future__ import annotations

from typing import ClassVar

from wormsig.errors import Fault, PeerError, TransportError


class BadCodeError(TransportError):
    """Not a code at all; nothing was sent, so a code that was meant is not burned."""

    default_fault: ClassVar[Fault] = Fault.US


class RelayUnreachableError(TransportError):
    """No connection to the relay within the time limit."""


class RelaySilentError(RelayUnreachableError):
    """It had not answered when the time was up; an earlier attempt may know more."""


class RelayRefusedError(TransportError):
    """The relay answered and said no, or answered with something that is not its protocol."""


class RelayCertificateError(RelayRefusedError):
    """What claims to be the relay could not prove it, or does not speak TLS."""


class TorError(TransportError):
    """Tor was asked for and is not there."""


class ListenError(TransportError):
    """A relay of our own cannot listen where it was told to."""

    default_fault: ClassVar[Fault] = Fault.US


class BurnedCodeError(TransportError):
    """Base of the failures after which a code is worthless and a new one is needed.

    Attributes:
        counts: Whether it may have been somebody's guess, so that it counts towards the limit of THREATS T1.
    """

    counts: ClassVar[bool] = False


class WrongCodeError(BurnedCodeError):
    """Two sides met, and did not have the same code."""

    counts: ClassVar[bool] = True
    default_fault: ClassVar[Fault] = Fault.UNKNOWN


class CrowdedError(BurnedCodeError):
    """Two others are using this code already."""

    counts: ClassVar[bool] = True
    default_fault: ClassVar[Fault] = Fault.UNKNOWN


class MissedError(BurnedCodeError):
    """Somebody was at the place of a rendezvous and did not prove to be the other side. Nobody guesses these places."""

    default_fault: ClassVar[Fault] = Fault.UNKNOWN


class StaleCodeError(BurnedCodeError):
    """The relay has forgotten the code: it restarted, or this side was away for too long."""


class PairingTimeoutError(BurnedCodeError):
    """Nobody came in time."""

    default_fault: ClassVar[Fault] = Fault.UNKNOWN


class PeerGoneError(TransportError):
    """The other side left, or nothing was heard of it for too long.

    Args:
        message: What happened.
        hint: What to do.
        left: The other side said goodbye, and what it said; None when it fell silent.
    """

    default_fault: ClassVar[Fault] = Fault.UNKNOWN

    def __init__(self, message: str, *, hint: str | None = None, left: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.left = left


class NotAcknowledgedError(TransportError):
    """The other side is there, but did not acknowledge a letter in time."""

    default_fault: ClassVar[Fault] = Fault.PEER


class TamperedError(TransportError):
    """A message was changed on its way; the relay, or whoever stands before it, did that."""


class ChannelClosedError(TransportError):
    """This side closed the channel."""

    default_fault: ClassVar[Fault] = Fault.US


class VersionError(PeerError):
    """The two sides have no protocol in common, or the other one is not wormsig."""


class SameRoleError(PeerError):
    """Two coordinators, or two cosigners."""

    default_fault: ClassVar[Fault] = Fault.UNKNOWN


class VerifierMismatchError(PeerError):
    """The two persons read different verifier words: somebody stands between them."""

    default_fault: ClassVar[Fault] = Fault.UNKNOWN
