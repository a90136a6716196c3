"""`zcc ledger`: an auditor's look at the synthetic addresses. Reads the private edge's file, also while it runs.

Only the command line calls this; nothing here writes.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from zcc.config import load
from zcc.errors import LedgerError
from zcc.fields import parse_dns_name, parse_duration
from zcc.synthetic.audit import Tenure, tenures
from zcc.synthetic.pool import Pool
from zcc.synthetic.store import read_records

__all__ = ["ledger"]

ledger = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Which name held which synthetic address, now and at any time before.\n\n"
    "Example: zcc ledger who 10.254.3.7 --at 2026-11-26T03:10:00Z --config private-edge.yaml",
)

FILE = "ledger.sqlite"
Config = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The private edge's file.")]
State = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The edge's state directory, instead of --config.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines, one object a line.")]
WIDTH = 160
DEFAULT_CONFIG = Path("zcc.yaml")


@ledger.command("who")
def who_command(
    what: Annotated[str, typer.Argument(metavar="ADDRESS|NAME", help="A synthetic address, or a name.")],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601 (UTC unless it says), or 90m, 2h ago.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say who held an address, or which address a name held; without --at, all there ever was.

    Exit code 1: nobody held it then.

    Examples: zcc ledger who 10.254.3.7  ·  zcc ledger who 10.254.3.7 --at 2h  ·  zcc ledger who db.corp.example
    """
    mine = _subject(what)
    moment = None if at is None else _moment(at, time.time())
    spans, pools = _spans(config, state)
    found = [one for one in spans if mine in (one.address, one.name)]
    if moment is not None:
        found = [one for one in found if one.covers(moment)]
    _print(found, pools, as_json)
    if not found:
        when = "ever" if moment is None else f"at {_iso(moment)}"
        typer.echo(f"{what}: nothing is recorded {when}", err=True)
        raise typer.Exit(1)


@ledger.command("list")
def list_command(
    everything: Annotated[bool, typer.Option("--all", help="Also what was released.")] = False,
    config: Config = DEFAULT_CONFIG,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List the names that hold an address, in the order of their leases.

    Example: zcc ledger list --state /var/lib/zcc --json
    """
    spans, pools = _spans(config, state)
    _print([one for one in spans if everything or one.until is None], pools, as_json)


def _spans(config: Path, state: Path | None) -> tuple[list[Tenure], list[Pool]]:
    """Every tenure, and the pools of the configuration; none if only the state directory was named."""
    pools: list[Pool] = []
    if state is None:
        settings: Any = load(config, "private-edge")
        state, pools = settings.state, settings.ledger_pools()
    path = state / FILE
    try:
        return tenures(read_records(path)), pools
    except ValueError as error:
        raise LedgerError(f"{path}: {error}; restore the file from a backup") from None


def _subject(what: str) -> int | str:
    try:
        return int(IPv4Address(what))
    except ValueError:
        pass
    try:
        return parse_dns_name(what)
    except ValueError as error:
        raise typer.BadParameter(f"neither an IPv4 address nor a name: {error}") from None


def _moment(text: str, now: float) -> float:
    """Return a time that a person wrote, as seconds since 1970."""
    try:
        return now - parse_duration(text).total_seconds()
    except ValueError:
        pass
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; allowed: 2026-11-26T03:10:00Z, 2026-11-26, or how long ago: 90m, 2h"
        ) from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _print(found: list[Tenure], pools: list[Pool], as_json: bool) -> None:
    rows = [
        {
            "address": str(IPv4Address(one.address)),
            "pool": next((pool.name for pool in pools if one.address in pool), ""),
            "name": one.name,
            "kind": "configured" if one.configured else "wildcard",
            "since": _iso(one.since),
            "until": None if one.until is None else _iso(one.until),
        }
        for one in found
    ]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
    elif rows:
        table = Table("address", "pool", Column("name", overflow="fold"), "kind", "since", "until")
        for row in rows:
            table.add_row(*("held" if value is None else value for value in row.values()))
        # In a file or a pipe nothing says how wide the table may be; names are never cut.
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
