"""DnsExplained: what the connector would do with a DNS query, by its own objects, in words.

Journey: `zcc explain --query NAME` → a query of that name → Interceptor, DnsControl → rule, answer, and why no rule above. The
same for the answer, if its addresses are given. Nothing is asked: a synthetic address is not told, but where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import dns.rdatatype
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zcc.clock import ManualClock, SystemClock
from zcc.connector.dns_control import DnsControl, Redirect, Silent
from zcc.connector.full_pools import NO_RULE, Client, FullPools
from zcc.connector.settings import ConnectorSettings
from zcc.dns.intercept import Forward, Interceptor, NeedLease, NeedName, Verdict
from zcc.dns.pending import Asker
from zcc.dns.question import Question, parse_question
from zcc.policy.criteria import TCP, UDP
from zcc.policy.decide import Decider, Flow
from zcc.policy.dns_decide import DnsDecider, DnsMismatch, DnsQuery
from zcc.policy.dns_rule import DnsRule
from zcc.policy.model import Method
from zcc.policy.names import application_map
from zcc.policy.objects.stance import Stance
from zcc.policy.world import World

__all__ = ["Asking", "DnsExplained", "explain_query", "wanted"]

VALUES_SHOWN = 5
FULL = {Stance.OPEN: "the server's answer", Stance.CLOSED: "SERVFAIL", Stance.HOLD: "no answer"}
SERVER = IPv4Address(0)  # whichever was asked
FIELDS = {
    "locations": ("locations", "location_groups"), "sources": ("sources", "source_groups"),
    "names": ("names", "destination_groups"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asking:
    """What a person asks about."""

    name: str
    type: int
    source: IPv4Address | IPv6Address
    namespace: str | None = None
    place: str | None = None  # a location, or what Places calls an endpoint's
    group: str | None = None
    score: int = 0
    answers: tuple[IPv4Address | IPv6Address, ...] | None = None  # addresses of the answer; None = it is not asked about


@dataclass(frozen=True, slots=True)
class DnsExplained:
    """The rule of a query and of its answer, and what the workload gets."""

    asking: Asking
    rule: tuple[int, DnsRule] | None  # None = whatever the rules say
    answer: dict[str, Any]  # kind, and what there is to say of it
    above: tuple[DnsMismatch, ...]
    review: dict[str, Any] | None  # of the answer; None = no rule looks at it
    rules: tuple[DnsRule, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        asking = self.asking
        rule = None if self.rule is None else {"index": self.rule[0], "name": self.rule[1].name}
        return {
            "query": {"name": asking.name, "type": _type(asking.type), "source": str(asking.source),
                      "namespace": asking.namespace, "location": asking.place, "group": asking.group,
                      "tunnel_score": asking.score},
            "rule": rule, "action": str(self.rule[1].action) if self.rule else None, "answer": self.answer,
            "matched": {} if self.rule is None else {field: wanted(self.rule[1], field) for field in CRITERIA
                                                     if wanted(self.rule[1], field)},
            "above": [{"index": missed.index, "rule": missed.rule, "criterion": missed.criterion, "seen": missed.seen,
                       "wanted": wanted(self.rules[missed.index], missed.criterion)} for missed in self.above],
            "review": self.review, "notes": list(self.notes),
        }  # fmt: skip

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [Text(f"{self.asking.source} asks for {self.asking.name} {_type(self.asking.type)}")]
        if self.above:
            table = Table("rule", "name", "did not match", "seen", "wanted")
            for missed in self.above:
                values = wanted(self.rules[missed.index], missed.criterion)
                more = f" and {len(values) - VALUES_SHOWN} more" if len(values) > VALUES_SHOWN else ""
                cells = (str(missed.index), missed.rule, missed.criterion, missed.seen)
                table.add_row(*(Text(cell, overflow="fold") for cell in cells),
                              Text(", ".join(values[:VALUES_SHOWN]) + more, overflow="fold"))  # fmt: skip
            parts.append(table)
        if self.rule is not None:
            parts.append(Text.assemble(f"rule {self.rule[0]} {self.rule[1].name!r} decides: ",
                                       (str(self.rule[1].action), "bold green")))  # fmt: skip
        parts.append(Text(f"answer: {self.answer['words']}", style="bold"))
        if "pool_full" in self.answer:
            full = self.answer["pool_full"]
            whose = "as no rule says otherwise" if full["rule"] == NO_RULE else f"by forwarding rule {full['rule']}"
            parts.append(Text(f"  if the pool is full: {FULL[full['stance']]}, {whose}"))
        if self.review is not None:
            parts.append(Text(self.review["words"]))
        return Group(*parts, *(Text(f"note: {note}", style="yellow") for note in self.notes))


CRITERIA = ("connector_groups", "namespaces", "locations", "sources", "names", "categories", "types", "tunnel_score",
            "answer_countries")  # fmt: skip


def wanted(rule: DnsRule, criterion: str) -> list[str]:
    """Return the values of a rule's criterion as a person wrote them; empty when any value matches."""
    if criterion == "tunnel_score":
        return [] if rule.tunnel_score is None else [f"{rule.tunnel_score} or more"]
    if criterion == "applications":
        return ["a name of an application"]
    if criterion == "types":
        return [_type(kind) for kind in rule.types]
    values: list[str] = []
    for field in FIELDS.get(criterion, (criterion,)):
        kind = field.removesuffix("s").replace("_", " ") + " " if field.endswith("_groups") and field != criterion else ""
        values += [f"{kind}{value}" for value in getattr(rule, field, ())]
    return values


def explain_query(settings: ConnectorSettings, asking: Asking, world: World | None = None) -> DnsExplained:
    """Explain what a connector of these settings does with a query, and with its answer.

    Args:
        world: what is known beside the policy; None = nothing.
    """
    known = world or World()
    control = DnsControl(settings.model_copy(update={"group": asking.group or settings.group}), ManualClock(), lambda: known)
    wire = dns.message.make_query(asking.name or ".", dns.rdatatype.RdataType.make(asking.type), use_edns=0).to_wire()
    question = parse_question(wire)
    assert isinstance(question, Question), "a query that was just made can be read"
    applications = application_map(settings.applications)
    interceptor = Interceptor(lambda name: getattr(applications.get(name), "name", None), settings.pool_networks,
                              int(settings.dns.ttl.total_seconds()))  # fmt: skip
    verdict = interceptor.decide(wire)
    asker = Asker(0, asking.source, 0, SERVER)
    query = control.query(question, asker, asking.namespace or "", asking.place or "", asking.score)
    found = control.decide(verdict, question, query)
    if found is None:
        return DnsExplained(asking, None, _answer(verdict, settings), (), None, control.decider.rules,
                            ("the rules are not asked about names of synthetic addresses",))  # fmt: skip
    said = control.carry_out(found.rule, question, control.pooled(verdict, found.rule, asking.place or ""))
    passes = isinstance(said, Forward | Redirect)
    answer = _answer(said, settings) | _when_full(said, settings, asking, control, known)
    return DnsExplained(
        asking, (found.index, found.rule), answer, tuple(control.decider.above(query, found)),
        _review(control.decider, query, found.rule, asking.answers) if passes else None, control.decider.rules,
        (*_notes(settings, asking), *_unserved(said, settings, asking, control, known)),
    )  # fmt: skip


def _when_full(said: Verdict | Redirect | Silent, settings: ConnectorSettings, asking: Asking, control: DnsControl,
               world: World) -> dict[str, Any]:  # fmt: skip
    """What the query meets if no address of its pool is left."""
    if not isinstance(said, NeedLease):
        return {}
    client = Client(asking.namespace or "", control.location(asking.place or ""), asking.source)
    taken = FullPools(settings, SystemClock(), lambda: world).stance(client, said.name)
    return {"pool_full": {"stance": str(taken.stance), "rule": taken.rule}}


def _unserved(said: Verdict | Redirect | Silent, settings: ConnectorSettings, asking: Asking, control: DnsControl,
              world: World) -> Iterator[str]:  # fmt: skip
    """Tell if the address that is leased leads nowhere, since no ZPA rule matches at any port of its application."""
    application = application_map(settings.applications).get(said.name) if isinstance(said, NeedLease) else None
    if application is None or not isinstance(said, NeedLease):
        return
    decider, address = Decider(settings.policy(), world), settings.pool_by_name[said.pool][1]
    flow = Flow(asking.source, address, TCP, None, said.name, asking.namespace, control.location(asking.place or ""),
                asking.group or settings.group, at_s=SystemClock().time())
    ports = [(protocol, span.low) for protocol, spans in ((TCP, application.tcp), (UDP, application.udp)) for span in spans]
    rules = [decider.rule_of(replace(flow, protocol=protocol, port=port)) for protocol, port in ports]
    if all(rule.method is not Method.ZPA for rule in rules):
        yield (f"no ZPA rule matches what {asking.source} sends to {said.name} at the ports of application {application.name}: "
               f"the address leads nowhere, rule {rules[0].name!r} decides: {rules[0].method}; ask why with --name for --query")


def _answer(said: Verdict | Redirect | Silent, settings: ConnectorSettings) -> dict[str, Any]:
    if isinstance(said, Forward):
        return {"kind": "forward", "words": "that of the server which the workload asked, reached by the forwarding rules"}
    if isinstance(said, Redirect):
        gateway = next(gateway for gateway in settings.dns_gateways if gateway.name == said.gateway)
        servers = [str(server) for server in (gateway.primary, gateway.secondary) if server is not None]
        return {"kind": "gateway", "gateway": gateway.name, "servers": servers, "fail": str(gateway.fail),
                "words": f"that of DNS gateway {gateway.name} ({', then '.join(servers)}; if none answers: {gateway.fail})"}
    if isinstance(said, NeedLease):
        network = settings.pool_by_name[said.pool]
        return {"kind": "synthetic", "pool": said.pool, "network": str(network), "name": said.name,
                "words": f"the synthetic address of {said.name}; the private edge leases it from pool {said.pool}, {network}"}
    if isinstance(said, NeedName):
        return {"kind": "name", "address": str(said.address),
                "words": f"the name that has the synthetic address {said.address}, or NXDOMAIN if none has"}  # fmt: skip
    message = dns.message.from_wire(said.over_tcp if isinstance(said, Silent) else said.message)
    if isinstance(said, Silent):
        return {"kind": "silence", "words": "nothing over UDP; REFUSED over TCP"}
    addresses = [record.address for rrset in message.answer for record in rrset]
    rcode = dns.rcode.to_text(message.rcode())
    why = "".join(f": {option.text}" for option in message.options if isinstance(option, dns.edns.EDEOption) and option.text)
    what = ", ".join(addresses) or ("no data" if rcode == "NOERROR" else rcode)
    return {"kind": "answer", "rcode": rcode, "addresses": addresses, "words": f"{what}, from the connector itself{why}"}


def _review(
    decider: DnsDecider, query: DnsQuery, rule: DnsRule, answers: Sequence[IPv4Address | IPv6Address] | None
) -> dict[str, Any] | None:
    hidden = f"{' and '.join(rule.hide)} taken out of HTTPS and SVCB records" if rule.hide else ""
    if answers is None:
        if not decider.may_review(query):
            return {"rule": None, "words": hidden} if hidden else None
        words = "the answer is looked at by rules with answer_countries: give its addresses with --answer"
        return {"rule": None, "words": "; ".join(filter(None, (words, hidden)))}
    asked = replace(query, answers=tuple(answers))
    found = decider.review(asked)
    if found is None:
        words = "; ".join(filter(None, ("no rule looks at that answer: it passes", hidden)))
        return {"rule": None, "action": "ALLOW", "words": words}
    what = {"ALLOW": "it passes", "BLOCK": f"{found.rule.block} instead",
            "OVERWRITE": f"{', '.join(map(str, found.rule.addresses))} instead"}[found.rule.action]  # fmt: skip
    return {"rule": found.rule.name, "index": found.index, "action": str(found.rule.action),
            "words": f"rule {found.index} {found.rule.name!r} decides on the answer: {what}"}  # fmt: skip


def _notes(settings: ConnectorSettings, asking: Asking) -> Iterator[str]:
    if asking.place is not None and asking.place.partition("/")[0] not in settings.location_names:
        yield f"location {asking.place!r} does not exist in this file"
    if asking.namespace is not None and asking.namespace not in {namespace.name for namespace in settings.namespaces}:
        yield f"namespace {asking.namespace!r} does not exist in this file"


def _type(kind: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind))
