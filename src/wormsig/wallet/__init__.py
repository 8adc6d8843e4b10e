"""The agreed wallet: descriptor policy, its scripts and change, and the registry that keeps it.

`descriptor` judges what people paste (with btclib-wallet as second judge), `sources` reads the forms it comes in.
`reading` and `writing` turn our own canonical text into a `policy` and back without any library, `condition` says what
a policy asks for. `derive` makes scripts on the hot path, `scripts` puts them together, `sizes` foretells their final
form, `registry` keeps wallets on disk. Nothing here signs, and no private key ever gets past `descriptor`.
"""
