"""Magic Wormhole: a spoken code becomes an encrypted, acknowledged channel between two people.

    connector   allocate or use a code, wait for the other side
    channel     letters and objects with acknowledgements, heartbeats, and an end that is always noticed
    relay       the mailbox server in this process, for tests, the demo and `wormsig relay`

Mailbox messages only, no transit and no dilation (docs/adr/0005). What the letters mean belongs to `ceremony`; who
gets a code, and what happens to a ceremony when a channel ends, belongs to `app`. Every wait here has a time limit.
Importing this package is cheap; its modules import Twisted and magic-wormhole.
"""
