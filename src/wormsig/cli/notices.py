"""What a person is told once, where a person reads it: not with --quiet, not with --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.app.first_use import about_the_public_relay

if TYPE_CHECKING:
    from wormsig.app.home import Home
    from wormsig.app.settings import RelayOptions
    from wormsig.cli.console import Console


def tell_once(console: Console, home: Home, relay: RelayOptions) -> None:
    """Before the first ceremony through the public relay: what it learns, and how to keep it from that."""
    if console.quiet or console.as_json:
        return
    words = about_the_public_relay(home, relay)
    if words is not None:
        console.say(words)
