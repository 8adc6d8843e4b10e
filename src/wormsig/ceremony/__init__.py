"""One signing ceremony as pure state machines, and what it says on the wire. No I/O, no clock, no randomness.

`coordinator` and `cosigner` are event-sourced: `decide(state, input) -> events`, `evolve(state, event) -> state`,
`pending(state) -> effects`, `replay(events) -> state`. The driver in `app` decides, appends the events to the
journal, evolves, and then performs what is pending. All transitions of a machine stand in its `..._state` file, its
events in `..._events`. `messages` and `wire` are the formats that two machines exchange. Secrets (codes, keys,
passphrases) are never events.
"""
