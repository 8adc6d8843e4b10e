"""A private regtest bitcoind on a free loopback port, for `wormsig demo` and for tests.

It lives in a temporary folder and is stopped by the process that started it. Nothing here is used with real money.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from wormsig.errors import NodeError, UsageError
from wormsig.node.rpc import NodeSettings, Rpc, to_btc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

START_PATIENCE = 60.0
STOP_PATIENCE = 30.0
_ATTEMPTS = 3
_MINER = "miner"
_COINBASE_MATURITY = 100
_KNOTS_OPTIONS = (
    "-softwareexpiry=0",  # it stops starting after a date
    # It takes a locktime of 21 for a token's, and its own wallet chooses one of the last hundred heights for every
    # tenth payment: on a young chain one in a thousand would not be mined.
    "-rejectparasites=0",
)
"""What Bitcoin Core does not know."""


def find_bitcoind() -> Path:
    """The bitcoind to use: `$BITCOIND`, else the one on PATH, else the one that scripts/get-bitcoind.sh fetched.

    Raises:
        UsageError: There is none, or `$BITCOIND` names nothing that can be run.
    """
    named = os.environ.get("BITCOIND")
    if named:
        found = shutil.which(named)
        if found is None:
            raise UsageError(f"BITCOIND names {named}, which cannot be run")
        return Path(found)
    on_path = shutil.which("bitcoind")
    if on_path is not None:
        return Path(on_path)
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cached = Path(cache) / "wormsig" / "bitcoind" / "bin" / "bitcoind"
    if os.access(cached, os.X_OK):
        return cached
    raise UsageError(
        "no bitcoind found",
        hint="run scripts/get-bitcoind.sh, or install Bitcoin Core and put bitcoind on PATH (or name it in BITCOIND)",
    )


class Funding(msgspec.Struct, frozen=True):
    """A coin that `RegtestNode.fund` made: the transaction's id (display hex) and the output's index."""

    txid: str
    index: int


class RegtestNode:
    """A running regtest node; use as a context manager, or call `stop`.

    Args:
        extra: More options for bitcoind, e.g. `-txindex`.
        mocktime: The node's clock at start (unix time); its real one when left out.
        binary: The bitcoind; `find_bitcoind` when left out.

    Raises:
        UsageError: No bitcoind.
        NodeError: It does not start.
    """

    def __init__(self, extra: Sequence[str] = (), *, mocktime: int | None = None, binary: Path | None = None) -> None:
        self.binary = binary or find_bitcoind()
        self.datadir = Path(tempfile.mkdtemp(prefix="wormsig-regtest-"))
        self._options = list(extra)
        if mocktime is not None:
            self._options.append(f"-mocktime={mocktime}")
        if _is_knots(self.binary):
            self._options += _KNOTS_OPTIONS
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self, port: int | None = None) -> None:
        """Another process may take the free port first, so try a few."""
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = port if port is not None and attempt == 1 else _free_port()
            self.settings = NodeSettings(f"http://127.0.0.1:{self.port}", cookie=self.cookie)
            self.rpc = Rpc(self.settings)
            self._process = subprocess.Popen(
                [str(self.binary), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches us, and we stop it
            )
            if self._answers():
                return
            words = self._last_words()
            if attempt == _ATTEMPTS or "bind" not in words.lower():
                raise NodeError(f"bitcoind did not start: {words}", hint=f"try {self.binary} by hand")

    def _arguments(self) -> list[str]:
        return [
            "-regtest",
            f"-datadir={self.datadir}",
            "-server",
            "-listen=0",
            "-dnsseed=0",
            "-fixedseeds=0",
            "-connect=0",
            "-rpcbind=127.0.0.1",
            "-rpcallowip=127.0.0.1",
            f"-rpcport={self.port}",
            "-fallbackfee=0.0001",
            "-keypool=20",  # thousand keys a wallet, bitcoind's own number, take a second
            "-addresstype=bech32",
            "-changetype=bech32",
            "-printtoconsole=0",
            *self._options,
        ]

    def _answers(self) -> bool:
        """Wait until it answers; False when it exits first."""
        deadline = time.monotonic() + START_PATIENCE
        while self._process.poll() is None:
            try:
                self.rpc.call("getblockcount")
            except NodeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return True
        return False

    def _last_words(self) -> str:
        _, errors = self._process.communicate()
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        return " ".join(lines[-3:]) or f"exit code {self._process.returncode}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def cookie(self) -> Path:
        """Its cookie file."""
        return self.datadir / "regtest" / ".cookie"

    @property
    def url(self) -> str:
        """Its RPC endpoint."""
        return self.settings.url

    def environment(self) -> dict[str, str]:
        """The variables that make wormsig's commands use this node."""
        return {
            "WORMSIG_RPC_URL": self.url,
            "WORMSIG_RPC_COOKIE": str(self.cookie),
            "WORMSIG_NETWORK": "regtest",
        }

    def wallet(self, name: str = _MINER) -> Rpc:
        """A wallet of the node, made when it is not there."""
        if name not in self.rpc.call("listwallets"):
            self.rpc.call("createwallet", name)
        return self.rpc.for_wallet(name)

    def mine(self, blocks: int = 1, address: str | None = None) -> list[str]:
        """Mine blocks, to the miner's wallet unless an address is given; their hashes."""
        target = address or self.wallet().call("getnewaddress")
        hashes: list[str] = self.rpc.call("generatetoaddress", blocks, target)
        return hashes

    def fund(self, address: str, sats: int, *, confirm: bool = True) -> Funding:
        """Pay an address out of mined coins, and mine the payment unless `confirm` is False.

        Args:
            address: A regtest address.
            sats: The amount.
            confirm: Mine one block with it.

        Raises:
            NodeError: The block does not hold it: bitcoind's wallet makes transactions that its mempool refuses.
        """
        miner = self.wallet()
        while miner.call("getbalance") < to_btc(sats) + Decimal("0.01"):
            self.mine(_COINBASE_MATURITY + 1)
        txid: str = miner.call("sendtoaddress", address, to_btc(sats))
        details = miner.call("gettransaction", txid=txid, verbose=True)
        index = next(
            output["n"] for output in details["decoded"]["vout"] if output["scriptPubKey"].get("address") == address
        )
        if confirm:
            (block,) = self.mine(1)
            if txid not in self.rpc.call("getblock", block)["tx"]:
                why = self.rpc.call("testmempoolaccept", [details["hex"]])[0].get("reject-reason", "not said why")
                raise NodeError(f"the payment to {address} was not mined: {why}")
        return Funding(txid, index)

    def set_time(self, unix_time: int) -> None:
        """Set the node's clock (regtest only)."""
        self.rpc.call("setmocktime", unix_time)

    def restart(self) -> None:
        """Stop it and start it again on the same folder, on another port when its own was taken meanwhile."""
        _stop_process(self._process, self.rpc)
        self._start(self.port)

    def stop(self) -> None:
        """Stop it and remove its folder; safe to call twice."""
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        if process is not None:
            _stop_process(process, self.rpc)
        shutil.rmtree(self.datadir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _is_knots(binary: Path) -> bool:
    answer = subprocess.run([str(binary), "-version"], capture_output=True, timeout=30, check=False)
    return b"knots" in answer.stdout.lower()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop_process(process: subprocess.Popen[bytes], rpc: Rpc) -> None:
    """Ask politely, then insist; ends only the process that was started here."""
    if process.poll() is None:
        with contextlib.suppress(NodeError):
            rpc.call("stop", timeout=5, patience=0)
        try:
            process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stderr is not None:
        process.stderr.close()
