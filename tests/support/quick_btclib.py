"""btclib-wallet as the tests use it: what it makes of the same text is worked out once.

Importing a wallet asks it three times, and it computes each checksum some twenty times over, in pure Python: most of
the time that tests of descriptors take. All these functions depend on nothing but their arguments, and give frozen
values (or, here, a list of one's own). What is refused is asked anew every time.
"""

from __future__ import annotations

import functools

import btclib_wallet.descriptors as api
from btclib_wallet.bip32.bip32 import BIP32KeyData
from btclib_wallet.descriptors import descriptors

_expanded = functools.cache(api.multipath_descriptors)


def _multipath_descriptors(descriptor: str, network: str | None = None) -> list[str]:
    return list(_expanded(descriptor, network))


# Deriving a script reads each of its extended keys from text, over and over.
BIP32KeyData.b58decode = classmethod(functools.cache(BIP32KeyData.b58decode.__func__))
descriptors.checksum = functools.cache(descriptors.checksum)
# In the package alone, where `wormsig.wallet.judge` finds them: among themselves they share more than their arguments.
api.multipath_descriptors = _multipath_descriptors
api.parse = functools.cache(api.parse)
