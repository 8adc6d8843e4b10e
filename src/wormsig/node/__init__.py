"""bitcoind over RPC: chain state, coins and previous transactions, a watch-only wallet, acceptance, broadcast.

Every call blocks; `app` runs them in threads. What the node says is evidence, not truth: amounts and scripts are
taken out of previous transactions that hash to the outpoint, and scripts are derived here. Nothing in this room
decides about money, and nothing here knows of ceremonies or of the command line.

Files: `rpc` (one connection, its failures in words), `words` (reject reasons in plain words), `node` (the typed
questions), `watch` (the watch-only wallet), `regtest` (a private node for the demo and the tests).
"""
