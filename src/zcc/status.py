"""`zcc status`: how the connector that runs on this machine is: its edges, gateways and what has failed.

Only the command line calls this; the connector's own words come over its socket.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zcc.asking import SOCKET, ask
from zcc.config import load
from zcc.wording import counted

__all__ = ["status_command"]

WIDTH = 140  # of a table that is not printed on a terminal


def status_command(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The connector's file.")] = Path("zcc.yaml"),
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The connector's; default: in the file's state directory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say how the connector that runs here is: edges, gateways, failures. Exits 1 when it does not answer.

    Examples: zcc status --config /etc/zcc/connector.yaml  ·  zcc status --socket /var/lib/zcc/connector.sock --json
    """
    if path is None:
        settings: Any = load(config, "connector")
        path = settings.state / SOCKET
    told = ask(path, {"ask": "status"})
    if as_json:
        typer.echo(json.dumps(told))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for part in _parts(told):
        console.print(part)


def _parts(told: dict[str, Any]) -> list[Any]:
    private = told["private_edge"]
    parts: list[Any] = [f"connector {told['name']} of group {told['group'] or 'none'}: {counted(told['flows'], 'flow')}"]
    parts += [f"failed: {failure}" for failure in told["failures"]]
    if private is not None:
        where = f"connected to {private['address']}, {private['rtt_ms']:.1f} ms" if private["connected"] else "not connected"
        parts.append(f"private edge: {where}{_because(private['reason'])}")
    if told["internet_edges"]:
        edges = Table("internet edge", "address", "state", "by", "ms", "path MTU", "inside", "renewed", "last failure")
        for one in told["internet_edges"]:
            found = f"{one['path_mtu']} ({one['path_state']})" if one["path_mtu"] else ""
            edges.add_row(one["name"], one["address"], one["state"], one["transport"], f"{one['rtt_ms']:.1f}", found,
                          str(one["inner_mtu"] or ""), str(one["renewals"]), one["reason"])
        gateways = Table("gateway", "edges, in order", "new flows go by", "without an edge")
        for one in told["gateways"]:
            active = one["active"] or ("DIRECT" if one["fail"] == "open" else "nothing: dropped")
            gateways.add_row(one["name"] or "(rules without one)", ", ".join(one["edges"]), active, one["fail"])
        parts += [edges, gateways]
    pools = ", ".join(f"{name} {network}" for name, network in told["pools"].items())
    return [*parts, f"synthetic addresses: {pools}"]


def _because(reason: str) -> str:
    return f"; last failure: {reason}" if reason else ""
