"""Magic Wormhole based multisig PSBT exchange.

The rooms and the direction of their imports are described in docs/architecture.md. Nothing is imported here:
`wormsig --version` has to be fast.
"""

__version__ = "0.1.0"
