"""`zcc explain`: an administrator's questions to the rules of a file. Nothing is sent, and no daemon is asked.

Journey: argv → settings and the files that rules look into → zcc.policy.explain or about → terminal or JSON. It decides
nothing.
"""

from __future__ import annotations

import importlib
import json
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from zcc.config import load
from zcc.feeds.watch import Watch
from zcc.fields import format_endpoint_id, parse_dns_name, parse_endpoint_id
from zcc.policy.about import about_name, about_workload
from zcc.policy.decide import Flow
from zcc.policy.dns_rule import parse_type
from zcc.policy.explain import endpoint_of, explain, parse_flow
from zcc.policy.model import Policy
from zcc.policy.places import Places
from zcc.policy.stances import Trouble, parse_trouble
from zcc.policy.world import World

__all__ = ["explain_command"]

WIDTH = 160  # of a table that is not printed on a terminal


def explain_command(  # noqa: PLR0913, PLR0917 -- one parameter an option: that is how typer reads them
    src: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The workload's address.")] = None,
    dst: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where it wants to go.")] = None,
    service: Annotated[str | None, typer.Option(help="tcp/443, udp/53, tcp, udp or icmp.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the destination; alone: what is known of it.")] = None,
    query: Annotated[str | None, typer.Option(metavar="NAME", help="A DNS query for this name, with --src.")] = None,
    record: Annotated[str, typer.Option("--type", metavar="TYPE", help="Of the query.")] = "A",
    answer: Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="In the answer; may be given again.")] = None,
    score: Annotated[int, typer.Option("--tunnel-score", min=0, max=100, help="Of the query.")] = 0,
    naming: Annotated[str | None, typer.Option(metavar="HOW", help="How the name is known, or why not: sni, ech …")] = None,
    workload: Annotated[str | None, typer.Option(metavar="ADDRESS", help="What is known of a workload.")] = None,
    namespace: Annotated[str | None, typer.Option(help="The workload's namespace.")] = None,
    location: Annotated[str | None, typer.Option(help="The endpoint's location.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="vpce-…: gives namespace, location, sublocation.")] = None,
    group: Annotated[str | None, typer.Option(help="The connector group; default: the file's.")] = None,
    failed: Annotated[list[str] | None, typer.Option(metavar="WHAT", help="zia, zpa, tags or a gateway; again.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The YAML file.")] = Path("zcc.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say which rule decides a flow or a DNS query, and for each rule above it the criterion that did not match.

    Example of a packet: zcc explain --src 10.8.6.4 --dst 203.0.113.9 --service tcp/443 --name updates.example

    Example of a name: zcc explain --name portal.corp.example

    Example of a DNS query: zcc explain --src 10.8.6.4 --query www.example --type AAAA --answer 2001:db8::7

    Example of a workload: zcc explain --workload 10.8.6.4 --namespace blue
    """
    settings: Any = load(config, "connector")
    policy, world = cast(Policy, settings.policy()), Watch(settings.feeds).world
    try:
        place = _place(policy, namespace, location, endpoint) | {"group": group or settings.group}
        if query is not None and src is not None and dst is service is name is workload is None:
            found: Any = _of_query(settings, world, (query, record, src, answer, score), place)
        elif query is not None or answer:
            raise ValueError("give --query with --src, and of the others only --type, --answer, --tunnel-score and the place")
        elif workload is not None and src is dst is name is service is None:
            found = about_workload(policy, ip_address(workload), world, at_s=time.time(),
                                   **{key: place[key] for key in ("namespace", "location", "group")})  # fmt: skip
        elif src is not None and workload is None:
            failures = frozenset(parse_trouble(what, policy) for what in failed or ())
            found = _of_flow(policy, world, (src, dst, service, name, naming), place, failures)
        elif name is not None and src is dst is workload is None:
            found = about_name(policy, parse_dns_name(name), world)
        else:
            raise ValueError("give --src with --dst or --name, or --name alone, --query with --src, or --workload alone")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    _show(found, as_json)


def _show(found: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        Console(width=None if Console().is_terminal else WIDTH).print(found)


def _place(policy: Policy, namespace: str | None, location: str | None, endpoint: str | None) -> dict[str, Any]:
    if endpoint is None:
        return {"namespace": namespace, "location": location, "endpoint": None}
    found = endpoint_of(policy, parse_endpoint_id(endpoint))
    if found is None:
        known = ", ".join(format_endpoint_id(known.id) for known in policy.endpoints) or "none, since none is configured"
        raise ValueError(f"endpoint {endpoint} is not in the file; allowed: {known}")
    for given, own in ((namespace, found.namespace), (location, found.location)):
        if given not in (None, own):
            raise ValueError(f"endpoint {endpoint} is of {own}, not of {given}")
    return {"namespace": found.namespace, "location": found.location, "endpoint": found}


def _of_flow(
    policy: Policy, world: World, given: tuple[str, str | None, str | None, str | None, str | None],
    place: dict[str, Any],
    failures: frozenset[Trouble],
) -> Any:
    """Explain a flow; one of a name without an address goes to where the name leads."""
    src, dst, service, name, naming = given
    if dst is None and name is None:
        raise ValueError("--src needs --dst, or --name")
    destination = dst or str(_where(policy, parse_dns_name(name)))
    flow = parse_flow(src, destination, service, name=name, naming=naming)
    return explain(policy, Flow(**{**_values(flow), **place, "at_s": time.time()}), world, failures)


def _of_query(
    settings: Any, world: World, given: tuple[str, str, str, list[str] | None, int], place: dict[str, Any]
) -> Any:
    """Explain a DNS query by the connector's own objects, which are loaded by name."""
    name, record, source, answers, score = given
    module = importlib.import_module("zcc.connector.dns_explained")
    endpoint = place["endpoint"]
    where = place["location"] if endpoint is None else Places(settings.policy()).of_endpoint(endpoint.id)
    return module.explain_query(settings, module.Asking(
        name=parse_dns_name(name), type=parse_type(record), source=ip_address(source), namespace=place["namespace"],
        place=where, group=place["group"], score=score,
        answers=None if answers is None else tuple(map(ip_address, answers)),
    ), world)  # fmt: skip


def _values(flow: Flow) -> dict[str, Any]:
    return {field: getattr(flow, field) for field in ("source", "destination", "protocol", "port", "name", "naming")}


def _where(policy: Policy, name: str) -> IPv4Address | IPv6Address:
    """Stand in for the address of a name: a synthetic one for an application's, one that no packet has for others."""
    return policy.pool[1] if about_name(policy, name).known["application"] else IPv4Address(0)
