"""Where wormsig keeps things on this machine.

`WORMSIG_HOME` puts everything into one folder (several people on one machine); without it the platform's own
folder for application data is used. Folders are made 0700 when they are first needed.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from wormsig.errors import StorageError


class Home(msgspec.Struct, frozen=True):
    """The folder of one person.

    Attributes:
        path: The folder; need not exist yet.
    """

    path: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`WORMSIG_HOME`, else the platform's folder for application data."""
        named = os.environ.get("WORMSIG_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        from platformdirs import user_data_path  # noqa: PLC0415  not needed when WORMSIG_HOME is set

        return cls(user_data_path("wormsig", appauthor=False))

    def _folder(self, *parts: str) -> Path:
        folder = self.path.joinpath(*parts)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot use the folder {folder}: {error.strerror}",
                hint="set WORMSIG_HOME to a folder that can be written",
            ) from error
        return folder

    def wallets(self) -> Path:
        """The registry of agreed wallets. Raises StorageError when it cannot be made."""
        return self._folder("wallets")

    def journal(self) -> Path:
        """The ceremonies' journal, an SQLite file. Raises StorageError when its folder cannot be made."""
        return self._folder("journal") / "ceremonies.sqlite3"

    def links(self) -> Path:
        """The secrets by which ceremonies are resumed, a file each. Raises StorageError when it cannot be made."""
        return self._folder("journal", "links")

    def notices(self) -> Path:
        """What was told once and need not be told again. Raises StorageError when it cannot be made."""
        return self._folder("notices")

    def log_file(self) -> Path:
        """The log of bugs. Raises StorageError when its folder cannot be made."""
        return self._folder("log") / "wormsig.log"
