"""What happens on a connection that needs no answer, for status lines."""

from __future__ import annotations

import enum


class Notice(enum.Enum):
    """Something worth a word to a person."""

    CONTACT = "somebody is using the code"
    RELAY_DOWN = "the connection to the relay is lost, trying again"
    RELAY_UP = "the relay is back"
    QUIET = "no sign of the other side"
    HEARD = "the other side is back"
