"""`zcc explain`: an administrator's questions to the rules of a file. Nothing is sent, and no daemon is asked.

Journey: argv → settings and the files that rules look into → zcc.policy.explain or about → terminal or JSON. It decides
nothing.
"""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from zcc.config import load
from zcc.feeds.watch import Watch
from zcc.fields import format_endpoint_id, parse_dns_name, parse_endpoint_id
from zcc.policy.about import about_name, about_workload
from zcc.policy.decide import NOWHERE, Flow
from zcc.policy.dns_decide import DnsDecider
from zcc.policy.dns_rule import DnsAction, parse_type
from zcc.policy.explain import Explanation, endpoint_of, explain, parse_flow
from zcc.policy.model import Policy
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import Places
from zcc.policy.stances import parse_trouble
from zcc.policy.workload import Workloads, tagged
from zcc.policy.world import World

__all__ = ["explain_command"]

WIDTH = 160  # of a table that is not printed on a terminal
PASSING = (DnsAction.ALLOW, DnsAction.ZPA)


def _option(words: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=words, **more)


_HOW = (f"How that name is known: {', '.join(NAMINGS[:4])}; or why none is: {', '.join(NAMINGS[4:])}. All but dns: the flow "
        "has said it itself.")
_TAG = "A workload with this tag, such as vm-tag-group=Dev, instead of what is known of --src; again for more."


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a person asks; None = not given."""

    src: str | None
    tag: list[str] | None
    dst: str | None
    service: str | None
    name: str | None
    naming: str | None
    query: str | None
    record: str
    answer: list[str] | None
    score: int
    workload: str | None
    failed: list[str] | None

    def gives(self, *fields: str) -> bool:
        """Tell whether these are given, and of the others none of those that make another question."""
        kinds = ("src", "tag", "dst", "service", "name", "query", "workload")
        return all((getattr(self, field) is not None) is (field in fields) for field in kinds)


def explain_command(  # noqa: PLR0913, PLR0917 -- one parameter an option: that is how typer reads them
    src: Annotated[str | None, _option("The workload's address.", metavar="ADDRESS")] = None,
    tag: Annotated[list[str] | None, _option(_TAG, metavar="TAG")] = None,
    dst: Annotated[str | None, _option("Where it wants to go.", metavar="ADDRESS")] = None,
    service: Annotated[str | None, _option("tcp/443, udp/53, tcp, udp or icmp.")] = None,
    name: Annotated[str | None, _option("Name of the destination; alone: what is known of it.")] = None,
    naming: Annotated[str | None, _option(_HOW, metavar="HOW")] = None,
    query: Annotated[str | None, _option("A DNS query for this name, with --src.", metavar="NAME")] = None,
    record: Annotated[str, _option("Of the query.", "--type", metavar="TYPE")] = "A",
    answer: Annotated[list[str] | None, _option("In the answer; again for more.", metavar="ADDRESS")] = None,
    score: Annotated[int, _option("Of the query.", "--tunnel-score", min=0, max=100)] = 0,
    workload: Annotated[str | None, _option("What is known of a workload.", metavar="ADDRESS")] = None,
    namespace: Annotated[str | None, _option("The workload's namespace; default: the file's, if it has one.")] = None,
    location: Annotated[str | None, _option("The endpoint's location.")] = None,
    endpoint: Annotated[str | None, _option("vpce-…: gives namespace, location, sublocation.")] = None,
    group: Annotated[str | None, _option("The connector group; default: the file's.")] = None,
    failed: Annotated[list[str] | None, _option("Down meanwhile: zia, zpa, tags (stale) or a gateway; again for more.",
                                                metavar="WHAT")] = None,
    config: Annotated[Path, _option("The YAML file.", "--config", "-c", metavar="FILE")] = Path("zcc.yaml"),
    as_json: Annotated[bool, _option("Print JSON for machines.", "--json")] = False,
) -> None:
    """Say which rule decides a flow or a DNS query, and for each rule above it the criterion that did not match.

    Example of a packet: zcc explain --src 10.8.6.4 --dst 203.0.113.9 --service tcp/443 --name updates.example

    Example of a flow that says its name: zcc explain --src 10.8.6.4 --name evil.example --service tcp/443 --naming sni

    Example of a workload that is not there yet: zcc explain --tag vm-tag-group=Dev --name evil.example --service tcp/443

    Example of a name: zcc explain --name portal.corp.example

    Example of a DNS query: zcc explain --src 10.8.6.4 --query www.example --type AAAA --answer 2001:db8::7

    Example of a workload: zcc explain --workload 10.8.6.4 --namespace blue
    """
    asked = _Asked(src, tag, dst, service, name, naming, query, record, answer, score, workload, failed)
    settings: Any = load(config, "connector")
    try:
        place = _place(settings.policy(), namespace, location, endpoint) | {"group": group or settings.group}
        found = _found(asked, settings, Watch(settings.feeds).world, place)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        Console(width=None if Console().is_terminal else WIDTH).print(found)


def _found(asked: _Asked, settings: Any, world: World, place: dict[str, Any]) -> Any:
    """Answer a question.

    Raises:
        ValueError: it is none; says what is allowed.
    """
    policy = cast(Policy, settings.policy())
    if asked.gives("src", "query"):
        return _of_query(settings, world, asked, place)
    if asked.query is not None or asked.answer:
        raise ValueError("give --query with --src, and of the others only --type, --answer, --tunnel-score and the place")
    if asked.gives("workload"):
        return about_workload(policy, ip_address(asked.workload or ""), world, at_s=time.time(),
                              **{key: place[key] for key in ("namespace", "location", "group")})  # fmt: skip
    if asked.gives("name"):
        about = about_name(policy, parse_dns_name(asked.name), world)
        return replace(about, notes=(*about.notes, *_dns_rules(settings, policy, world, about.subject)))
    if asked.workload is not None or (asked.src is None and not asked.tag):
        raise ValueError("give --src (or --tag) with --dst or --name, or --name alone, --query with --src, or --workload alone")
    if asked.tag:
        world = _with_tags(world, asked.tag, place["namespace"], asked.src)
    told = _of_flow(policy, world, asked, place)
    return replace(told, notes=(*told.notes, *_of_its_query(settings, world, told.flow, asked, place)))


def _place(policy: Policy, namespace: str | None, location: str | None, endpoint: str | None) -> dict[str, Any]:
    known = [found.name for found in policy.namespaces]
    if namespace is not None and namespace not in known:
        raise ValueError(f"namespace {namespace!r} is not in the file; allowed: {', '.join(known) or 'none, it has none'}")
    if location is not None and location not in policy.location_by_name:
        whole = location.partition("/")[0]
        if whole != location and whole in policy.location_by_name:
            raise ValueError(f"{location!r} is a sublocation, which the source's address and --endpoint tell; give --location "
                             f"{whole}")
        raise ValueError(f"location {location!r} is not in the file; allowed: {', '.join(policy.location_by_name)}")
    if endpoint is None:
        only = known[0] if len(known) == 1 else None
        return {"namespace": namespace or only, "location": location, "endpoint": None}
    found = endpoint_of(policy, parse_endpoint_id(endpoint))
    if found is None:
        ids = ", ".join(format_endpoint_id(known.id) for known in policy.endpoints) or "none, since none is configured"
        raise ValueError(f"endpoint {endpoint} is not in the file; allowed: {ids}")
    for given, own in ((namespace, found.namespace), (location, found.location)):
        if given not in (None, own):
            raise ValueError(f"endpoint {endpoint} is of {own}, not of {given}")
    return {"namespace": found.namespace, "location": found.location, "endpoint": found}


def _with_tags(world: World, tags: list[str], namespace: str | None, source: str | None) -> World:
    """The world with one workload more, in place of what is known of its address."""
    made = tagged(tags, namespace or "", NOWHERE if source is None else ip_address(source), time.time())
    others = (known for known in world.workloads if (known.namespace, known.address) != (made.namespace, made.address))
    return replace(world, workloads=Workloads([*others, made]))


def _of_flow(policy: Policy, world: World, asked: _Asked, place: dict[str, Any]) -> Explanation:
    """Explain a flow; one of a name without an address goes to where the name leads."""
    if asked.dst is None and asked.name is None:
        raise ValueError("--src needs --dst, or --name")
    destination = asked.dst or str(_where(policy, parse_dns_name(asked.name)))
    failures = frozenset(parse_trouble(what, policy) for what in asked.failed or ())
    flow = parse_flow(asked.src or str(NOWHERE), destination, asked.service, name=asked.name, naming=asked.naming)
    return explain(policy, replace(flow, **place, at_s=time.time()), world, failures)


def _of_query(settings: Any, world: World, asked: _Asked, place: dict[str, Any]) -> Any:
    """Explain a DNS query by the connector's own objects, which are loaded by name."""
    module = importlib.import_module("zcc.connector.dns_explained")
    endpoint = place["endpoint"]
    where = place["location"] if endpoint is None else Places(settings.policy()).of_endpoint(endpoint.id)
    return module.explain_query(settings, module.Asking(
        name=parse_dns_name(asked.query), type=parse_type(asked.record), source=ip_address(asked.src or ""),
        namespace=place["namespace"], place=where, group=place["group"], score=asked.score,
        answers=None if asked.answer is None else tuple(map(ip_address, asked.answer)),
    ), world)  # fmt: skip


def _of_its_query(settings: Any, world: World, flow: Flow, asked: _Asked, place: dict[str, Any]) -> list[str]:
    """Note what becomes of the query that would come first, unless it passes."""
    if flow.name is None or flow.naming not in (None, NAMINGS[0]):
        return []
    kind = "A" if flow.source.version == 4 else "AAAA"
    found = _of_query(settings, world, replace(asked, query=flow.name, record=kind, src=str(flow.source)), place)
    if found.rule is None or found.rule[1].action in PASSING:
        return []
    index, rule = found.rule
    return [f"before that it asks DNS for {flow.name}: DNS rule {index} {rule.name!r} decides: {rule.action}; the answer: "
            f"{found.answer['words']}"]


def _dns_rules(settings: Any, policy: Policy, world: World, name: str) -> list[str]:
    """Note the DNS rules that are about a name."""
    rules = DnsDecider(settings.dns_rules, policy, lambda: world).naming(name)
    listed = ", ".join(f"{found.index} {found.rule.name!r} ({found.rule.action})" for found in rules)
    return [f"DNS rules about it: {listed}; ask with --query and --src"] if rules else []


def _where(policy: Policy, name: str) -> IPv4Address | IPv6Address:
    """Stand in for the address of a name: a synthetic one for an application's, one that no packet has for others."""
    return policy.pool[1] if about_name(policy, name).known["application"] else NOWHERE
