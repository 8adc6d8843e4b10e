"""The wallets that were agreed on, one file each in a folder of this machine.

The folder is given by the caller. A wallet's file is named after it and holds a `record`; reading one imports
neither btclib nor bitcointx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wormsig.errors import DescriptorError, StorageError, UsageError
from wormsig.wallet.names import check_wallet_name
from wormsig.wallet.record import MAX_RECORD, read_record, write_record
from wormsig.wallet.sources import read_source
from wormsig.wallet.storage import read_bounded, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.bitcoin.network import Network
    from wormsig.wallet.model import Wallet

_SUFFIX = ".json"


class Registry:
    """The kept wallets.

    Args:
        directory: Their folder; made (0700) when the first wallet is saved.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, wallet: Wallet, *, force: bool = False) -> None:
        """Keep a wallet under its name.

        Raises:
            UsageError: A wallet of this name is kept already and `force` is not set, or the name is not usable.
            StorageError: It cannot be written; nothing is left behind.
        """
        path = self._path(wallet.name)
        if not force and path.exists():
            raise UsageError(f"there is a wallet called {wallet.name} already", hint=_EXISTS_HINT)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make {self.directory}: {error.strerror}") from error
        write_whole(path, write_record(wallet), force=force)

    def load(self, name: str) -> Wallet:
        """The kept wallet of this name, after its id was checked (THREATS S6).

        Raises:
            UsageError: There is none, or the name is not usable.
            StorageError: Its file cannot be read, is damaged or was changed.
        """
        path = self._path(name)
        try:
            data = read_bounded(path, MAX_RECORD)
        except FileNotFoundError:
            known = ", ".join(self.names()[:10])
            raise UsageError(
                f"there is no wallet called {name}",
                hint=f"wallets kept here: {known}" if known else "import one: wormsig wallet import NAME DESCRIPTOR",
            ) from None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        wallet = read_record(data, f"wallet {name}")
        if wallet.name != name:
            raise StorageError(f"wallet {name} was changed: its file is that of {wallet.name}")
        return wallet

    def names(self) -> list[str]:
        """The names of the kept wallets, sorted.

        Raises:
            StorageError: The folder cannot be read.
        """
        try:
            # Not `glob`, to which a folder that cannot be read is an empty one.
            kept = [path.name for path in self.directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"cannot read {self.directory}: {error.strerror}") from error
        found = [name.removesuffix(_SUFFIX) for name in kept if name.endswith(_SUFFIX) and not name.startswith(".")]
        return sorted(found, key=lambda name: (name.casefold(), name))

    def all(self) -> tuple[Wallet, ...]:
        """Every kept wallet.

        Raises:
            StorageError: One of them cannot be read, is damaged or was changed.
        """
        return tuple(self.load(name) for name in self.names())

    def with_id(self, ident: str | None) -> Wallet | None:
        """The kept wallet with this id; None when there is none.

        Args:
            ident: As a ceremony names its wallet; None where it names none.

        Raises:
            StorageError: As `all`.
        """
        return next((wallet for wallet in self.all() if wallet.id == ident), None)

    def remove(self, name: str) -> None:
        """Forget a wallet; its coins and keys are untouched. A damaged one can be removed too.

        Raises:
            UsageError: There is none.
            StorageError: Its file cannot be removed.
        """
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise UsageError(f"there is no wallet called {name}") from None
        except OSError as error:
            raise StorageError(f"cannot remove wallet {name}: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        check_wallet_name(name)
        return self.directory / f"{name}{_SUFFIX}"


_EXISTS_HINT = "choose another name, or use --force to replace it"


def load_file(path: Path, network: Network | None = None) -> Wallet:
    """A wallet out of a file that a person names: a descriptor, or a JSON file of ours; judged as at import.

    Args:
        path: The file.
        network: The chain, where the file does not say.

    Returns:
        The wallet, called after the file where it has no name of its own.

    Raises:
        DescriptorError: The file cannot be read, or does not hold a usable wallet.
        UsageError: A test network must be named.
    """
    try:
        data = read_bounded(path, MAX_RECORD)
    except (OSError, StorageError) as error:
        reason = error.message if isinstance(error, StorageError) else error.strerror
        raise DescriptorError(f"cannot read the wallet {path}: {reason}") from None
    return read_source(data, called=str(path)).wallet(network, name=path.stem)
