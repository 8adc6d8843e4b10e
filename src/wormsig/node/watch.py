"""The watch-only wallet that wormsig keeps in a node: made, filled with the descriptors, scanned.

It is called `wormsig-` and the first twelve digits of the wallet's id. Both branches are imported in two steps:
first inactive, with the wallet's birth time, so that the node looks through old blocks; then, when that has
succeeded, active. A node that was stopped in the middle leaves inactive descriptors behind, and the next run scans
again. What the wallet is asked afterwards is `funds`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bitcoin_core_rpc import RPCErrorCode

from wormsig.errors import NodeError, UsageError
from wormsig.node.answers import Imported, Scan, WalletInfo
from wormsig.node.funds import Listed, WatchWallet, branch_descriptor, listed_branches
from wormsig.node.rpc import NodeRefusedError, Rpc, read
from wormsig.wallet.model import BRANCHES, CHANGE

if TYPE_CHECKING:
    from wormsig.wallet.model import Wallet

Progress = Callable[[int], None]
"""Told how many percent of the blocks are looked through."""

AHEAD = 200
"""Indexes watched beyond the highest one used, at least. bitcoind itself keeps what its -keypool says, 1000 unless it
was changed; where that is less, the range is widened and the blocks are looked through again."""
_FIRST_RANGE = 300
_WIDER_RANGE = 1000
RESCAN_TIMEOUT = 7 * 24 * 3600.0
"""Seconds for looking through every block: hours on a slow disk."""
_POLL = 0.5
_RACE = ("already", "exclusive lock")
"""What bitcoind says when somebody else makes or loads the same wallet at the same moment."""
_RACE_PATIENCE = 30.0
_PRUNED_HINT = (
    "the node has deleted blocks that are needed: use a node with all blocks, or give the wallet a later birth"
)


def ensure(
    node: Rpc, wallet: Wallet, *, name: str | None = None, rescan: bool = False, progress: Progress | None = None
) -> WatchWallet:
    """Load the watch-only wallet, make and fill it when it is not there, wait until it has seen every block.

    Args:
        node: The node's endpoint.
        wallet: The agreed wallet; its birth says from when on blocks are looked through, all of them when unknown.
        name: A node wallet of the user's own instead of wormsig's. Descriptors that are there are taken as scanned.
        rescan: Look through the blocks again, from the very first.
        progress: Told percents while the node looks through blocks.

    Raises:
        UsageError: `name` is a wallet with private keys and without our descriptors.
        NodeError: The node refuses, or has deleted the blocks that are needed.
    """
    called = name or wallet_name(wallet)
    watching = WatchWallet(open_wallet(node, called, create=True), called, wallet)
    info = _wait_for_scan(watching.rpc, progress)
    listed = listed_branches(watching.rpc, wallet)
    own = name is None
    if not rescan and len(listed) == len(BRANCHES) and (not own or all(map(_is_complete, listed.values()))):
        return watching
    if info.private_keys_enabled:
        raise UsageError(
            f"the node's wallet {called} has private keys, so the agreed wallet cannot be watched in it",
            hint="leave --rpc-wallet away: wormsig then makes a watch-only wallet of its own",
        )
    birth = 0 if rescan or wallet.birth is None else wallet.birth
    if own:
        _import(watching, birth, dict.fromkeys(BRANCHES, False), progress)
        while not all(map(_is_wide, listed_branches(watching.rpc, wallet).values())):
            _import(watching, birth, dict.fromkeys(BRANCHES, False), progress)
        _import(watching, "now", dict.fromkeys(BRANCHES, True), progress)
    else:
        _import(watching, birth, {branch: item.active for branch, item in listed.items()}, progress)
    return watching


def _is_wide(item: Listed) -> bool:
    """Whether the range reached far enough ahead for no used index to be missed."""
    return item.end - item.next_index >= AHEAD


def _is_complete(item: Listed) -> bool:
    """Whether a branch was scanned to the end (only then it is made active), and wide enough."""
    return item.active and _is_wide(item)


def _range_end(item: Listed | None) -> int:
    """How far to watch: never less than before, which bitcoind refuses."""
    if item is None:
        return _FIRST_RANGE - 1
    return item.end if _is_wide(item) else max(item.end, item.next_index + _WIDER_RANGE)


def find(node: Rpc, wallet: Wallet, *, name: str | None = None) -> WatchWallet | None:
    """The watch-only wallet when it is loaded and filled; neither made nor loaded here.

    Raises:
        NodeError: No answer.
    """
    called = name or wallet_name(wallet)
    if called not in loaded_wallets(node):
        return None
    rpc = node.for_wallet(called)
    return WatchWallet(rpc, called, wallet) if len(listed_branches(rpc, wallet)) == len(BRANCHES) else None


def wallet_name(wallet: Wallet) -> str:
    """What the watch-only wallet is called in the node."""
    return f"wormsig-{wallet.id[:12]}"


def loaded_wallets(node: Rpc) -> list[str]:
    """The loaded wallets; none on a node that is built or run without. Raises NodeError without an answer."""
    try:
        return node.ask(list[str], "listwallets")
    except NodeRefusedError as error:
        if error.code == RPCErrorCode.METHOD_NOT_FOUND:
            return []
        raise


def open_wallet(node: Rpc, name: str, *, create: bool = False) -> Rpc:
    """The endpoint of a node's wallet, loaded when it is not.

    Args:
        node: The node's endpoint.
        name: The wallet.
        create: Make a blank one without private keys when there is none.

    Raises:
        NodeError: There is none, or it cannot be loaded.
    """
    deadline = time.monotonic() + _RACE_PATIENCE
    while name not in node.ask(list[str], "listwallets"):
        try:
            if not _load(node, name):
                if not create:
                    raise NodeError(
                        f"the node has no wallet {name}", hint="`bitcoin-cli listwalletdir` shows those that it has"
                    )
                node.call("createwallet", wallet_name=name, disable_private_keys=True, blank=True)
        except NodeRefusedError as error:
            if time.monotonic() >= deadline or not any(words in error.text.lower() for words in _RACE):
                hint = _PRUNED_HINT if "prun" in error.text.lower() else error.hint
                raise NodeError(f"the node cannot load its wallet {name}: {error.text}", hint=hint) from error
            time.sleep(_POLL / 5)
    return node.for_wallet(name)


def _load(node: Rpc, name: str) -> bool:
    """Load a wallet; False when there is none."""
    try:
        node.call("loadwallet", name, timeout=RESCAN_TIMEOUT)
    except NodeRefusedError as error:
        if error.code != RPCErrorCode.WALLET_NOT_FOUND:
            raise
        return False
    return True


def _import(watching: WatchWallet, birth: int | str, active: Mapping[int, bool], progress: Progress | None) -> None:
    """Import both branches and wait until the node has looked through the blocks since `birth`."""
    listed = listed_branches(watching.rpc, watching.wallet)
    requests = []
    for branch in BRANCHES:
        item = listed.get(branch)
        requests.append(
            {
                "desc": branch_descriptor(watching.wallet, branch),
                "active": active.get(branch, False),
                "internal": branch == CHANGE,
                "timestamp": birth,
                "range": [0, _range_end(item)],
                "next_index": item.next_index if item is not None else 0,
            }
        )
    answer = _call_with_progress(watching.rpc, "importdescriptors", requests, progress)
    for imported in read(list[Imported], "importdescriptors", answer):
        if not imported.success:
            text = imported.error.message
            raise NodeError(
                f"the node cannot watch the wallet: {text}", hint=_PRUNED_HINT if "prun" in text.lower() else None
            )


def _call_with_progress(rpc: Rpc, method: str, parameter: Any, progress: Progress | None) -> Any:  # noqa: ANN401  JSON
    """A call that may take hours, in a thread of its own, while the percents are read and told.

    When the program is interrupted the thread ends with it; the node goes on scanning on its own.
    """
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(rpc.call(method, parameter, timeout=RESCAN_TIMEOUT))
        except NodeError as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="wormsig-rescan", daemon=True)
    thread.start()
    thread.join(_POLL)
    while thread.is_alive():
        _tell(rpc, progress)
        thread.join(_POLL)
    result = outcome[0]
    if isinstance(result, NodeRefusedError) and "currently rescanning" in result.text.lower():
        _wait_for_scan(rpc, progress)
        return _call_with_progress(rpc, method, parameter, progress)
    if isinstance(result, NodeError):
        raise result
    return result


def _wait_for_scan(rpc: Rpc, progress: Progress | None) -> WalletInfo:
    """Wait for a scan that somebody else started; the wallet's info after it."""
    while True:
        info = rpc.ask(WalletInfo, "getwalletinfo")
        if not info.scanning:
            return info
        _tell(rpc, progress, info)
        time.sleep(_POLL)


def _tell(rpc: Rpc, progress: Progress | None, info: WalletInfo | None = None) -> None:
    scanning = (info or rpc.ask(WalletInfo, "getwalletinfo")).scanning
    if progress is not None and isinstance(scanning, Scan):
        progress(scanning.percent)
