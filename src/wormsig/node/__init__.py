"""bitcoind over RPC: chain state, coins and previous transactions, a watch-only wallet, acceptance, broadcast.

Every call blocks; `app` runs them in threads. What the node says is evidence, not truth: amounts and scripts are
taken out of previous transactions that hash to the outpoint, and scripts are derived here. Nothing in this room
decides about money, and nothing here knows of ceremonies or of the command line.

Files: `rpc` (one connection, its failures in words), `words` (reject reasons in plain words), `client` (the typed
questions), `watch` (makes the watch-only wallet), `funds` (asks it), `regtest` (a private node for demo and tests).
"""
