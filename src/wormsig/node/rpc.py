"""One JSON-RPC connection to bitcoind: settings, calls, and every failure as a `NodeError` that says what to do.

Amounts go out and come back as `Decimal` and become sats here; nothing is a float. The cookie file is read again at
every call, so a restarted node is no failure.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from bitcoin_core_rpc import (
    BitcoinCoreRpcClient,
    BtcRpcValueError,
    CookieNotFoundError,
    FetchError,
    HttpError,
    RpcError,
    RPCErrorCode,
)
from msgspec.structs import replace

from wormsig.errors import NodeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CALL_TIMEOUT = 60.0
"""Seconds for an ordinary call; a rescan brings its own."""
WARMUP_PATIENCE = 20.0
"""Seconds that a starting node (-28) or a full work queue (503) is waited for."""
_WARMUP_STEP = 0.25
_BATCH = 50  # calls a request
_ANSWER = 128 * 1024 * 1024  # bytes: a PSBT of the largest size in base64, or fifty large transactions in hex
_SATS = 100_000_000
_MOST_BTC = 21_000_000

T = TypeVar("T")


class NodeSettings(msgspec.Struct, frozen=True):
    """How to reach a node: a URL, and either a cookie file or a user with a password file.

    Attributes:
        url: `http://HOST:PORT`, without credentials.
        cookie: bitcoind's cookie file.
        user: User name, together with `password_file`.
        password_file: A file whose first line is the password.
        wallet: The node wallet to use instead of wormsig's own watch-only one.
    """

    url: str
    cookie: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    wallet: str | None = None


class NodeRefusedError(NodeError):
    """The node answered a call with an error.

    Args:
        message: What happened, for a person.
        code: Bitcoin Core's RPC error code.
        text: The node's own words.
        hint: What to do next.
    """

    def __init__(self, message: str, *, code: int, text: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.text = text


_ODD_HINT = "is it Bitcoin Core, of a release that wormsig knows?"


def read(kind: type[T], method: str, answer: Any) -> T:  # noqa: ANN401  a JSON value
    """An answer of the node as what it has to be.

    Raises:
        NodeError: It is something else.
    """
    try:
        return msgspec.convert(answer, kind, builtin_types=(Decimal,))  # a number, not a text that looks like one
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter for half a character
        raise NodeError(f"the node's answer to {method} is not bitcoind's: {error}", hint=_ODD_HINT) from error


def to_sats(amount: Decimal | int) -> int:
    """A BTC amount from the node, exactly.

    Raises:
        NodeError: More than eight decimals, more than there ever will be, or no number: this is not bitcoind.
    """
    if isinstance(amount, (Decimal, int)) and not isinstance(amount, bool):
        exact = Decimal(amount)
        if exact.is_finite() and abs(exact) <= _MOST_BTC and (exact * _SATS) % 1 == 0:
            return int(exact * _SATS)
    raise NodeError(f"the node reports an amount that is none: {amount}", hint=_ODD_HINT)


def to_btc(sats: int) -> Decimal:
    """Sats as the BTC number that an RPC call takes, digit for digit."""
    return Decimal(sats).scaleb(-8)


class Rpc:
    """Calls to one node, or to one wallet of it. Safe to share between threads.

    Args:
        settings: How to reach it.

    Raises:
        UsageError: Settings that cannot work.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self._client = _client(settings)

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        parts = urlsplit(self.settings.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def for_wallet(self, name: str) -> Rpc:
        """The same node, one of its wallets.

        Raises:
            NodeError: A name that no wallet can have.
        """
        other = Rpc.__new__(Rpc)
        other.settings = replace(self.settings, wallet=name)
        try:
            other._client = self._client.for_wallet(name)  # noqa: SLF001  another instance of this class
        except BtcRpcValueError as error:
            raise NodeError(f"the node's wallet cannot be asked: {error}") from error
        return other

    def call(
        self,
        method: str,
        *params: Any,  # noqa: ANN401  JSON values
        timeout: float = CALL_TIMEOUT,
        patience: float = WARMUP_PATIENCE,
        **named: Any,  # noqa: ANN401  same
    ) -> Any:  # noqa: ANN401  same; `ask` reads it
        """Call one method, with positional or named parameters, and take whatever it answers; `ask` reads the answer.

        Args:
            method: The RPC method.
            params: Its parameters by position.
            timeout: Seconds for the answer.
            patience: Seconds to wait for a node that is starting.
            named: Its parameters by name.

        Raises:
            NodeRefusedError: The node answered with an error.
            NodeError: It cannot be reached, or refuses the credentials.
        """
        arguments: Sequence[Any] | Mapping[str, Any] = named or params
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._client.call(method, arguments, request_timeout=timeout, max_body_size=_ANSWER)
            except FetchError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise self._translated(method, error) from error
            except BtcRpcValueError as error:
                raise NodeError(f"cannot ask the node for {method}: {error}") from error
            time.sleep(_WARMUP_STEP)

    def ask(
        self,
        kind: type[T],
        method: str,
        *params: Any,  # noqa: ANN401  JSON values
        timeout: float = CALL_TIMEOUT,
        **named: Any,  # noqa: ANN401  same
    ) -> T:
        """Call one method and read its answer.

        Args:
            kind: What the answer has to be (`answers`).
            method: The RPC method.
            params: Its parameters by position.
            timeout: Seconds for the answer.
            named: Its parameters by name.

        Raises:
            NodeRefusedError: The node answered with an error.
            NodeError: It cannot be reached, refuses the credentials, or its answer is not of that kind.
        """
        return read(kind, method, self.call(method, *params, timeout=timeout, **named))

    def ask_each(self, kind: type[T], calls: Sequence[tuple[str, Sequence[Any]]]) -> list[T | None]:
        """Call many methods in few HTTP requests and read their answers.

        Args:
            kind: What each answer has to be (`answers`).
            calls: Method and positional parameters of each.

        Returns:
            One answer for each call, in order; None where the node has nothing to say, or answered with an error.

        Raises:
            NodeError: It cannot be reached, refuses the credentials, or an answer is not of that kind.
        """
        answers = zip(calls, self.batch(calls), strict=True)
        return [
            None if answer is None or isinstance(answer, NodeRefusedError) else read(kind, method, answer)
            for (method, _), answer in answers
        ]

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]], *, timeout: float = CALL_TIMEOUT) -> list[Any]:
        """Call many methods in few HTTP requests.

        Args:
            calls: Method and positional parameters of each.
            timeout: Seconds for each request.

        Returns:
            One result for each call, in order; `NodeRefusedError` as a value where the node answered with an error.

        Raises:
            NodeError: It cannot be reached, or refuses the credentials.
        """
        results: list[Any] = []
        for start in range(0, len(calls), _BATCH):
            part = calls[start : start + _BATCH]
            try:
                answers = self._client.call_batch(part, request_timeout=timeout, max_body_size=_ANSWER)
            except FetchError as error:
                raise self._translated("a batch", error) from error
            for (method, _), answer in zip(part, answers, strict=True):
                failed = isinstance(answer, RpcError)
                results.append(self._translated(method, answer) if failed else answer)
        return results

    def _translated(self, method: str, error: FetchError) -> NodeError:
        """The library's failure as ours."""
        if isinstance(error, RpcError):
            text = str(error.args[0]).partition(f"{method} at {self._client.url}")[2].partition(": ")[2]
            return _refused(method, error.code, text)
        if isinstance(error, CookieNotFoundError):
            return NodeError(
                f"no cookie file at {self.settings.cookie}",
                hint="bitcoind writes it while it runs with its RPC server on: is it running?",
            )
        if isinstance(error, HttpError):
            return _http_failure(self.place, error.status)
        return NodeError(
            f"no answer from the node at {self.place}: {_cause(error)}",
            hint="is bitcoind running, with -server, and is --rpc-url right?",
        )


def _client(settings: NodeSettings) -> BitcoinCoreRpcClient:
    """Raises UsageError; no message repeats the URL's credentials or the password."""
    password = None
    if settings.password_file is not None:
        try:
            with settings.password_file.open(encoding="utf-8") as file:
                password = file.readline(4096).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise UsageError(f"cannot read the password file {settings.password_file}: {reason}") from None
    if (settings.user is None) != (password is None):
        raise UsageError("--rpc-user and --rpc-password-file go together")
    if settings.user is not None and settings.cookie is not None:
        raise UsageError("a cookie file and a user name are both given for the node", hint="give one of them")
    if settings.user is None and settings.cookie is None:
        raise UsageError(
            "nothing says how to log in to the node", hint="give --rpc-cookie, or --rpc-user and --rpc-password-file"
        )
    try:
        return BitcoinCoreRpcClient(
            settings.url,
            user=settings.user,
            password=password,
            cookie_path=settings.cookie,
            timeout=CALL_TIMEOUT,
        )
    except BtcRpcValueError as error:
        raise UsageError(
            f"--rpc-url cannot be used: {error}", hint="http://127.0.0.1:8332, without a password"
        ) from None


def _is_busy(error: FetchError) -> bool:
    """Whether the same call works a moment later."""
    if isinstance(error, RpcError):
        return error.code == RPCErrorCode.IN_WARMUP
    return isinstance(error, HttpError) and error.status == 503


def _cause(error: FetchError) -> str:
    """The operating system's words for a failed connection."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = getattr(cause, "reason", cause)
    if isinstance(reason, TimeoutError):
        return "no reply in time"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason)


def _http_failure(place: str, status: int) -> NodeError:
    if status == 401:
        return NodeError(
            f"the node at {place} refuses the credentials",
            hint="is the cookie file the running node's own? are user and password those of its rpcauth?",
        )
    if status == 403:
        return NodeError(f"the node at {place} does not let this machine in", hint="see -rpcallowip")
    return NodeError(f"the node at {place} answered HTTP {status}", hint="is it a bitcoind's RPC port?")


_HINTS: dict[int, str] = {
    RPCErrorCode.IN_WARMUP: "the node is still starting: try again in a while",
    RPCErrorCode.METHOD_NOT_FOUND: "is this bitcoind built with a wallet, and is -disablewallet off?",
    RPCErrorCode.WALLET_NOT_FOUND: "`bitcoin-cli listwallets` shows the loaded ones",
    RPCErrorCode.WALLET_UNLOCK_NEEDED: "unlock it: `bitcoin-cli -rpcwallet=… walletpassphrase …`",
}


def _refused(method: str, code: int, text: str) -> NodeRefusedError:
    """An RPC error whose code alone says what to do; callers that know more raise their own words."""
    return NodeRefusedError(
        f"the node refused {method}: {text or f'error {code}'}", code=code, text=text, hint=_HINTS.get(code)
    )
