#!/usr/bin/env python3
"""Run the commands of the tutorials as three people would, and write what they print into the pages.

    record_tutorial.py [--check] [PAGE...]      default: README.md docs/tutorial.md

A page's ```sh blocks are run in order, in a fresh HOME; a first line `# alice` says in whose terminal. The ```text
block right after one is its output. Between `<!-- together -->` and `<!-- apart -->` the blocks run at the same time,
questions are answered with y, and codes go from who shows them to who types them. `--check` runs everything and writes
nothing: the commands must work, but keys, addresses and codes differ every time.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/tutorial.md")
BLOCK = re.compile(r"^```sh\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"\b\d+(?:-[a-z]+){2,}\b")
QUESTION = r"(?:\[y/N\]|for later):? ?"
PATIENCE = 90
REFUSED = 4


@dataclass
class Block:
    """One ```sh block with the output that belongs to it.

    Attributes:
        who: In whose terminal.
        code: Its lines, as they stand in the page.
        shows_output: Whether a ```text block follows.
        together: Whether it runs at the same time as its neighbours.
        output: What it printed.
    """

    who: str
    code: str
    shows_output: bool
    together: bool
    output: str = field(default="", init=False)


class Terminal:
    """One person's shell."""

    def __init__(self, home: Path) -> None:
        env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        env |= {"HOME": str(home), "TERM": "dumb", "COLUMNS": "100", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        self.shell = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile"],
            cwd=str(ROOT),
            env=env,
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(50, 100),
        )
        self.shell.sendline("PS1= PS2=; set +m; stty -echo; printf '<ready%s>\\n' ''")
        self.shell.expect("<ready>")
        self._script = home / f"block-{id(self)}"
        self.text = ""
        self.code: int | None = None

    def start(self, code: str) -> None:
        """Run a block's lines."""
        self._script.write_text(code, encoding="utf-8")
        self.text, self.code = "", None
        self.shell.sendline(f". {self._script}; printf '<end %s>\\n' $?")

    def read(self, patience: float) -> bool:
        """Read on for so many seconds; answer a question with y. Whether something happened."""
        if self.code is not None:
            return False
        # Read what is there, rather than expect(): what has been said so far is wanted even when nothing matches.
        try:
            self.text += self.shell.read_nonblocking(4096, patience)
        except pexpect.TIMEOUT:
            return False
        end = re.search(r"<end (\d+)>", self.text)
        if end:
            self.code = int(end[1])
            self.text = self.text[: end.start()]
        elif re.search(QUESTION + r"$", self.text):
            self.text = self.text.rstrip() + " y\n"
            self.shell.sendline("y")
        return True

    def finish(self) -> int:
        """Read to the end of the block; its exit code."""
        while self.code is None:
            if not self.read(PATIENCE):
                raise SystemExit(f"nothing happens for {PATIENCE} s after:\n{self.text}")
        return self.code


class Stage:
    """All terminals, and the free ports that stand in for those of the page."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = {port: _free_port() for port in ("4000", "18999")}
        self.terminals: dict[str, Terminal] = {}

    def terminal(self, who: str) -> Terminal:
        """A person's shell; opened when it is first needed. It starts where the page says: in the clone."""
        if who not in self.terminals:
            self.terminals[who] = Terminal(self.home)
        return self.terminals[who]

    def here(self, code: str) -> str:
        """A page's lines for this machine."""
        for port, free in self.ports.items():
            code = re.sub(rf"\b{port}\b", free, code)
        return code.replace("$PWD/.venv/bin:", f"{Path(sys.executable).parent}:")

    def there(self, output: str) -> str:
        """This machine's output for the page."""
        for port, free in self.ports.items():
            output = output.replace(free, port)
        lines = output.replace("\r", "").replace(str(self.home), "~").split("\n")
        return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"

    def run(self, block: Block) -> None:
        """One block alone."""
        terminal = self.terminal(block.who)
        terminal.start(self.here(block.code))
        code = terminal.finish()
        block.output = self.there(terminal.text)
        if code and not (block.shows_output and code == REFUSED):  # what a page shows may be a refusal
            raise SystemExit(f"exit code {code} after:\n{block.code}\n{block.output}")

    def run_together(self, blocks: list[Block]) -> None:
        """Several blocks; the first shows a code for each of the others."""
        first, *others = blocks
        sender = self.terminal(first.who)
        sender.start(self.here(first.code))
        waiting = {block.who: block for block in others}
        quiet = 0
        while any(self.terminal(block.who).code is None for block in blocks if block.who not in waiting):
            happened = False
            for block in blocks:
                happened |= block.who not in waiting and self.terminal(block.who).read(0.1)
            quiet = 0 if happened else quiet + 1
            if quiet * 0.1 * len(blocks) > PATIENCE:
                texts = "\n".join(self.terminal(block.who).text for block in blocks)
                raise SystemExit(f"nothing happens for {PATIENCE} s after:\n{texts}")
            for line in sender.text.splitlines()[:-1]:
                code = CODE.search(line)
                who = next((who for who in waiting if re.search(rf"\b{who}\b", line)), None)
                if code and who:
                    block = waiting.pop(who)
                    block.code = CODE.sub(code[0], block.code)
                    self.terminal(who).start(self.here(block.code))
        for block in blocks:
            terminal = self.terminal(block.who)
            block.output = self.there(terminal.text)
            if terminal.code or block.who in waiting:
                raise SystemExit(f"exit code {terminal.code} for {block.who}:\n{block.output}")

    def close(self) -> None:
        """End what the page may have left running."""
        for terminal in self.terminals.values():
            terminal.shell.sendline("kill %1 2>/dev/null; exit")
            terminal.shell.close(force=True)
        for pid_file in self.home.glob("*/node/regtest/bitcoind.pid"):  # a page that failed did not come to its end
            os.kill(int(pid_file.read_text()), signal.SIGTERM)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def blocks_of(page: str) -> list[Block]:
    """The page's blocks in order."""
    found = []
    for match in BLOCK.finditer(page):
        named = re.match(r"# ([a-z]+)\n", match["code"])
        before = page[: match.start()]
        together = before.rfind("<!-- together -->") > before.rfind("<!-- apart -->")
        found.append(Block(named[1] if named else "you", match["code"], match["output"] is not None, together))
    return found


def play(blocks: list[Block]) -> None:
    """Run all blocks in a HOME of their own."""
    with tempfile.TemporaryDirectory(prefix="wormsig-tutorial-") as home:
        (Path(home) / ".cache").symlink_to(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
        stage = Stage(Path(home))
        together: list[Block] = []
        try:
            for block in blocks:
                if block.together:
                    together.append(block)
                    continue
                if together:
                    stage.run_together(together)
                    together = []
                stage.run(block)
        finally:
            stage.close()


def rewritten(page: str, blocks: list[Block]) -> str:
    """The page with the blocks as they were run."""
    todo = iter(blocks)

    def replace(_: re.Match[str]) -> str:
        block = next(todo)
        text = f"```sh\n{block.code}```\n"
        return text + (f"\n```text\n{block.output}```\n" if block.shows_output else "")

    return BLOCK.sub(replace, page)


def main() -> None:
    """Run the pages; write them unless `--check`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("pages", nargs="*", default=PAGES)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the node is stopped then, too
    for name in args.pages:
        path = ROOT / name
        page = path.read_text(encoding="utf-8")
        blocks = blocks_of(page)
        play(blocks)
        if not args.check:
            path.write_text(rewritten(page, blocks), encoding="utf-8")
        print(f"{name}: {len(blocks)} blocks ran", file=sys.stderr)


if __name__ == "__main__":
    main()
