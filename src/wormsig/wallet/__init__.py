"""The agreed wallet: descriptor policy, its scripts and change, and the registry that keeps it.

`descriptor` judges what people paste (with btclib-wallet as second judge), `sources` reads the forms it comes in,
`grammar` reads and writes our own canonical form without any library, `derive` makes scripts on the hot path,
`registry` keeps wallets on disk. Nothing here signs, and no private key ever gets past `descriptor`.
"""
