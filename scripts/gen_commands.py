#!/usr/bin/env python3
"""Write docs/commands.md from the Click commands; `--check` compares only."""

from __future__ import annotations

import inspect

import click

from generated import settle, table
from wormsig.cli.main import cli

INTRO = """# Commands

Results go to standard output, alone; everything else goes to standard error. What a failing command exits with stands
in [exit-codes.md](exit-codes.md), the object that `inspect --json` prints in [inspect-json.md](inspect-json.md).

A `PSBT` argument that starts with `cHNidP` is base64, `-` is standard input, anything else is a path; the content may
be base64 or binary. `-o` writes a binary PSBT, whole or not at all, and refuses an existing file without `--force`.
Passphrases never stand on the command line.

"""


def spelling(option: click.Option, ctx: click.Context) -> str:
    """`-o`, `--output FILE`: how the option is typed."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag or option.count else option.make_metavar(ctx)
    return f"{names} {metavar}".strip()


def meaning(option: click.Option) -> str:
    """What the option does, with its default and whether it repeats."""
    text = " ".join((option.help or "").split())
    # Click says [env: …] in brackets; here it is a code.
    text = text.replace("[env: ", "(env `").replace("]", "`)") if "[env: " in text else text
    if isinstance(option.envvar, str) and option.envvar not in text:
        text += f" (env `{option.envvar}`)"
    if option.show_default and option.default not in (None, False) and not callable(option.default):
        text += f" Default: `{option.default}`."
    return text


def options(command: click.Command, ctx: click.Context) -> str:
    """The table of a command's options; nothing when it has none."""
    shown = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    rows = [(spelling(option, ctx), meaning(option)) for option in shown]
    return "\n" + table(("option", "what it does"), rows) if rows else ""


def section(command: click.Command, name: str, parent: click.Context, level: int) -> str:
    """One command: usage, what it does, options; then its subcommands."""
    ctx = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    about = inspect.cleandoc((command.help or "").split("\f", maxsplit=1)[0]).replace("\b\n", "")
    text = f"{'#' * level} {ctx.command_path}\n\n    {usage}\n\n{about}\n{options(command, ctx)}\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(ctx):
            found = command.get_command(ctx, child)
            if found is not None and not found.hidden:
                text += section(found, child, ctx, level + 1)
    return text


def page() -> str:
    """The whole page: a list of the commands, then each."""
    root = click.Context(cli, info_name="wormsig")
    names = cli.list_commands(root)
    rows, text = [], ""
    for name in names:
        command = cli.get_command(root, name)
        if command is None:
            continue
        rows.append((f"[`wormsig {name}`](#wormsig-{name})", command.get_short_help_str(limit=200)))
        text += section(command, name, root, 2)
    return INTRO + table(("command", "does"), rows) + "\n" + text.rstrip("\n") + "\n"


if __name__ == "__main__":
    settle("commands.md", "gen_commands.py", page())
