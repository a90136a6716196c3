"""`zcc policy`: an administrator's tools for policies.

    zcc policy diff A B      what is different between two files, in words and in effect
    zcc policy preview FILE  what a file would do to the live flows of the connector that runs here

Journey: argv → settings → zcc.policy.diff, or the connector's socket → terminal or JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from zcc.asking import SOCKET, ask
from zcc.config import load
from zcc.feeds.watch import Watch
from zcc.policy.compare import Tally
from zcc.policy.diff import diff

__all__ = ["policy"]

WIDTH = 160  # of a table that is not printed on a terminal

policy = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Compare policies, and see what an edit would do.\n\n"
    "Example: zcc policy diff zcc.yaml candidate.yaml"
)  # fmt: skip
File = Annotated[Path, typer.Argument(metavar="FILE", help="A connector's YAML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@policy.callback()
def policy_group() -> None:
    """Stand for the group, so that one command alone is still called by its name."""


@policy.command("diff")
def diff_command(before: File, after: File, as_json: Json = False) -> None:
    """Say which rules and objects differ, and show traffic that the two files decide differently.

    Exits 0 when they are the same, 1 when not.

    Example: zcc policy diff /etc/zcc/zcc.yaml candidate.yaml
    """
    one: Any = load(before, "connector")
    other: Any = load(after, "connector")
    groups = list(dict.fromkeys((one.group, other.group)))
    dns = (one.dns_rules, other.dns_rules)
    found = diff(one.policy(), other.policy(), Watch(other.feeds).world, groups, dns)
    show(found, as_json)
    if found.words:
        raise typer.Exit(1)


@policy.command("preview")
def preview_command(
    candidate: File,
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The connector's; default: in the file's state directory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the connector that runs on this machine what an edit would do to its live flows; nothing is changed.

    Example: zcc policy preview candidate.yaml
    """
    data = candidate.read_text() if candidate.is_file() else ""
    settings: Any = load(candidate, "connector")
    answer = ask(path or settings.state / SOCKET, {"ask": "preview", "file": data})
    if as_json:
        typer.echo(json.dumps(answer))
        return
    found = Tally.from_dict(answer)
    show(found, as_json)
    typer.echo(f"This edit would cut {found.cut:,} of {found.looked_at:,} live flows.")


def show(found: Any, as_json: bool) -> None:
    """Print what can be rendered by rich and as JSON."""
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        Console(width=None if Console().is_terminal else WIDTH).print(found)
