"""What a person is told once: that the public relay learns who talks to whom, and what to do about it (THREATS T8)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wormsig.errors import StorageError

if TYPE_CHECKING:
    from wormsig.app.home import Home
    from wormsig.app.settings import RelayOptions

PUBLIC_HOST = "relay.magic-wormhole.io"
WORDS = (
    "The public relay carries this, as it does all of Magic Wormhole. It sees no PSBT\n"
    "and no name, but addresses, times and sizes. A relay of your own (`wormsig\n"
    "relay`) or --tor keeps those from it. This is said once.\n"
)


def about_the_public_relay(home: Home, options: RelayOptions) -> str | None:
    """The words, the first time that the public relay is used without Tor; afterwards, and else, None.

    Args:
        home: Where it is remembered; whoever gets the words has to show them.
        options: Which relays are used.
    """
    if options.through_tor or not any(PUBLIC_HOST in url for url in options.urls):
        return None
    with contextlib.suppress(StorageError, OSError):
        mark = home.notices() / "public-relay"
        if mark.exists():
            return None
        mark.touch(mode=0o600)
    return WORDS  # also when it cannot be remembered; what is wrong there shows elsewhere
