"""`zcc pki`: the operator's hand on the tenant's CA. Only the command line calls this."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from zcc.errors import AuthorityError
from zcc.pki.authority import Authority, Entry
from zcc.pki.certificate import ROLES
from zcc.pki.issue import issue

__all__ = ["pki"]

pki = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The tenant's certificate authority and the agents' certificates.\n\n"
    "Example: zcc pki init ca --tenant acme, then zcc pki issue ca connector cc-1 --out /etc/zcc/identity",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The CA's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@pki.command("init")
def init_command(
    folder: Folder,
    tenant: Annotated[str, typer.Option(help="The organisation whose agents this CA signs.")],
    as_json: Json = False,
) -> None:
    """Make a new CA in an absent or empty folder.

    Example: zcc pki init ca --tenant acme
    """
    try:
        made = Authority.create(folder, tenant)
    except ValueError as error:
        raise AuthorityError(str(error)) from None
    expires = made.certificate.not_valid_after_utc
    result = {"folder": str(folder), "tenant": tenant, "expires": str(expires)}
    text = f"{folder}: CA of tenant {tenant}, until {expires:%F}. Keep ca-key.pem secret and backed up."
    _print(as_json, result, text)


@pki.command("issue")
def issue_command(
    folder: Folder,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(ROLES)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent's own name.")],
    out: Annotated[Path | None, typer.Option(help="Its folder; default: DIR/agents/ROLE/NAME.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Validity in days.")] = 365,
    as_json: Json = False,
) -> None:
    """Write certificate.pem, key.pem, ca.pem and crl.pem of an agent; an existing key.pem is kept (renewal).

    Example: zcc pki issue ca connector cc-1 --out /etc/zcc/identity
    """
    out = out or folder / "agents" / role / name
    try:
        made = issue(Authority(folder), role, name, out, days)
    except ValueError as error:
        raise AuthorityError(str(error)) from None
    serial, expires = f"{made.serial_number:x}", made.not_valid_after_utc
    result = {"serial": serial, "role": role, "name": name, "folder": str(out), "expires": str(expires)}
    _print(as_json, result, f"{out}: {role} {name}, serial {serial}, until {expires:%F}")


@pki.command("revoke")
def revoke_command(
    folder: Folder,
    which: Annotated[str, typer.Argument(metavar="NAME|SERIAL", help="A name, ROLE/NAME, or a serial.")],
    as_json: Json = False,
) -> None:
    """Revoke certificates and write a new crl.pem; copy it to the agents, which read it again by themselves.

    Example: zcc pki revoke ca connector/cc-1
    """
    revoked = Authority(folder).revoke(which)
    lines = [f"revoked {entry.role} {entry.name}, serial {entry.serial}" for entry in revoked]
    _print(as_json, [dataclasses.asdict(entry) for entry in revoked],
           "\n".join([*lines, f"Copy {folder / 'crl.pem'} to the agents."]))


@pki.command("list")
def list_command(folder: Folder, as_json: Json = False) -> None:
    """List every certificate that this CA has signed.

    Example: zcc pki list ca --json
    """
    entries = Authority(folder).entries()
    _print(as_json, [dataclasses.asdict(entry) for entry in entries],
           "\n".join(_line(entry) for entry in entries) or "no certificates yet")


def _line(entry: Entry) -> str:
    state = f"revoked {entry.revoked[:10]}" if entry.revoked else f"until {entry.expires[:10]}"
    return f"{entry.role:14} {entry.name:24} {state:19} {entry.serial}"


def _print(as_json: bool, result: object, text: str) -> None:
    typer.echo(json.dumps(result) if as_json else text)
