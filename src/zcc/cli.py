"""The command line: argv → frozen settings → a role's run(), or one of the tools.

Exit codes: 0 done · 1 failed · 2 the configuration or the command line is wrong.
Everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zcc import __version__
from zcc.commands import LazyGroup, lazy
from zcc.errors import ZccError

__all__ = ["app", "main"]

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="An open zero-trust gateway for cloud workloads.\n\n"
    "Begin with [bold]zcc lab[/]: the whole system on this machine.",
)

Config = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The YAML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
DEFAULT_CONFIG = Path("zcc.yaml")


def main() -> None:
    """Run the command line; the console script and `python -m zcc` call this."""
    try:
        app(prog_name="zcc")
    except ZccError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"zcc {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
]


@app.callback()
def root(version: Version = False) -> None:
    """Take the options that stand before any command."""


@app.command("connector", rich_help_panel="Roles")
def connector_command(
    config: Config = DEFAULT_CONFIG,
    dns_listen: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS:PORT", help="Also answer clients that ask here for names of applications."),
    ] = None,
) -> None:
    """Take workload traffic from GWLB, decide per flow, forward.

    Examples: zcc connector --config /etc/zcc/connector.yaml  ·  zcc connector --dns-listen 10.1.200.11:53
    """
    listen = {} if dns_listen is None else {"dns": {"listen": {"address": dns_listen}}}
    _serve("connector", config, listen)


@app.command("private-edge", rich_help_panel="Roles")
def private_edge_command(config: Config = DEFAULT_CONFIG) -> None:
    """Join connectors to app connectors: authenticate, authorise, splice microtunnels.

    Example: zcc private-edge --config /etc/zcc/private-edge.yaml
    """
    _serve("private-edge", config)


@app.command("app-connector", rich_help_panel="Roles")
def app_connector_command(config: Config = DEFAULT_CONFIG) -> None:
    """Open the last hop to the applications beside which it runs.

    Example: zcc app-connector --config /etc/zcc/app-connector.yaml
    """
    _serve("app-connector", config)


@app.command("internet-edge", rich_help_panel="Roles")
def internet_edge_command(config: Config = DEFAULT_CONFIG) -> None:
    """End the internet tunnels and translate their traffic to the internet.

    Example: zcc internet-edge --config /etc/zcc/internet-edge.yaml
    """
    _serve("internet-edge", config)


lazy(app, "check", "zcc.check:check_command", "Every mistake of a file, and what is hardly meant in it.")
lazy(app, "explain", "zcc.explain:explain_command", "Which rule decides a flow, and why none before it does.")
lazy(app, "replay", "zcc.replay:replay_command", "A capture or a session log through the rules of a file.")
lazy(app, "policy", "zcc.policy_command:policy", "Compare policies, and see what an edit would do.")
lazy(app, "status", "zcc.status:status_command", "How the connector that runs here is: edges, gateways, failures.")
lazy(app, "lab", "zcc.lab.command:lab_command", "The whole system on this machine, in network namespaces.")
lazy(app, "gwlb", "zcc.lab.command:gwlb_command", "Emulate AWS Gateway Load Balancer on an interface.")
lazy(app, "ledger", "zcc.ledger:ledger", "Which name held which synthetic address, now and before.")
lazy(app, "pki", "zcc.pki.command:pki", "The tenant's CA: init, issue, revoke, list.")


RELOADED = ("connector", "private-edge")  # whose files may be read again while they run


def _serve(role: str, config: Path, override: dict[str, Any] | None = None) -> None:
    """Load a role's file, then run its daemon; the file is right before anything else is imported.

    Args:
        override: what the command line says instead of the file, as the file would.
    """
    from zcc.config import load, parse  # noqa: PLC0415

    settings: Any = load(config, role, override)
    from zcc.serve import serve  # noqa: PLC0415

    run = importlib.import_module(f"zcc.{role.replace('-', '_')}.daemon").run
    if role in RELOADED:
        run = functools.partial(run, reload=lambda: load(config, role, override))
    if role == "connector":
        run = functools.partial(run, parse=lambda data: parse(data, "the file", role))
    raise typer.Exit(serve(run, settings, settings.logs))
