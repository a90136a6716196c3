"""`zcc replay`: what has been, through the rules of a file: a capture, or the session log of a connector.

Journey: argv → the connector's own data plane over a capture (zcc.connector.replay), or zcc.policy.recorded over a log →
terminal or JSON lines. Nothing is sent, and no daemon is asked.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from zcc.config import load
from zcc.errors import CaptureError
from zcc.feeds.watch import Watch
from zcc.policy.decide import Decider
from zcc.policy.recorded import LINE_LIMIT, Recorded

__all__ = ["replay_command"]

WIDTH = 160  # of a table that is not printed on a terminal


def replay_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pcap or .pcapng capture, or a session.jsonl.")],
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The YAML file.")] = Path("zcc.yaml"),
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of a log: compare with this file instead of the log's word.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Send a capture through decode, key and classify; or a session log through the rules, and list what would change.

    Example of a capture: zcc replay field.pcapng --config zcc.yaml --json

    Example of a log: zcc replay /var/log/zcc/session.jsonl --config candidate.yaml
    """
    settings: Any = load(config, "connector")
    if not _is_log(file):
        if against is not None:
            raise typer.BadParameter("--against is for session logs; a capture has no decisions to compare with")
        importlib.import_module("zcc.connector.replay").run(settings, file, as_json, sys.stdout)
        return
    current = None
    if against is not None:
        other: Any = load(against, "connector")
        current = Decider(other.policy(), Watch(other.feeds).world)
    recorded = Recorded(Decider(settings.policy(), Watch(settings.feeds).world), current)
    for change in recorded.changes(_lines(file)):
        if as_json:
            typer.echo(json.dumps({"type": "change", **change}))
    if as_json:
        skipped = dict(recorded.skipped)
        typer.echo(json.dumps({"type": "summary", **recorded.tally.to_dict(), "skipped": skipped}))
        return
    console = Console(width=None if Console().is_terminal else WIDTH)
    console.print(recorded.tally)
    for what, number in recorded.skipped.items():
        console.print(Text(f"note: {number:,} {what} were not looked at", style="yellow"))


def _is_log(path: Path) -> bool:
    """Whether a file begins as JSON lines do, which no capture does."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()[:1] == b"{"
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error.strerror}") from None


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file; one that is too long comes in pieces that are no JSON."""
    with path.open("rb") as file:
        while line := file.readline(LINE_LIMIT + 1):
            yield line
