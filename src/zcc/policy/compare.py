"""Compare: flows that two policies, or a policy and a log, treat differently; counted, with examples.

Journey: `zcc replay` of a session log, `zcc policy diff` and the preview of an edit fill a Tally; it is printed for people and
as JSON. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zcc.policy.decide import Flow
from zcc.policy.objects.unnamed import NAMINGS

__all__ = ["Changes", "Tally", "Verdict", "flow_fields"]

EXAMPLES = 3


class Verdict(NamedTuple):
    """What becomes of a flow, and by which rule."""

    method: str
    rule: str

    def __str__(self) -> str:
        return f"{self.method} by {self.rule!r}"


@dataclass(slots=True)
class Changes:
    """Flows that went one way and would go another."""

    flows: int = 0
    bytes: int = 0
    examples: list[Flow | dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Flows, or DNS queries, that were looked at, and changes by (before, after)."""

    looked_at: int = 0
    changes: dict[tuple[Verdict, Verdict], Changes] = field(default_factory=dict)
    of: str = "flows"

    def add(self, flow: Flow | dict[str, Any], before: Verdict, after: Verdict, nbytes: int = 0) -> bool:
        """Count a flow; returns whether it changes."""
        self.looked_at += 1
        if before == after:
            return False
        found = self.changes.setdefault((before, after), Changes())
        found.flows += 1
        found.bytes += nbytes
        if len(found.examples) < EXAMPLES:
            found.examples.append(flow)
        return True

    @property
    def cut(self) -> int:
        """Flows whose method changes: a connection of theirs does not live through it."""
        return sum(found.flows for (before, after), found in self.changes.items() if before.method != after.method)

    @property
    def changed(self) -> int:
        """Flows that another rule would decide, or another method would take."""
        return sum(found.flows for found in self.changes.values())

    def ordered(self) -> Iterator[tuple[Verdict, Verdict, Changes]]:
        """Yield the changes; those of the method first, then by number."""
        def weight(item: tuple[tuple[Verdict, Verdict], Changes]) -> tuple[bool, int]:
            return item[0][0].method == item[0][1].method, -item[1].flows

        for (before, after), found in sorted(self.changes.items(), key=weight):
            yield before, after, found

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {
            "looked_at": self.looked_at, "changed": self.changed, "cut": self.cut,
            "changes": [{"before": before._asdict(), "after": after._asdict(), "flows": found.flows, "bytes": found.bytes,
                         "examples": [flow_fields(flow) for flow in found.examples]}
                        for before, after, found in self.ordered()],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tally:
        """Make a tally of what to_dict returned; its examples stay as they are.

        Raises:
            KeyError, TypeError: it is none.
        """
        tally = cls(values["looked_at"])
        for item in values["changes"]:
            pair = Verdict(**item["before"]), Verdict(**item["after"])
            tally.changes[pair] = Changes(item["flows"], item["bytes"], list(item["examples"]))
        return tally

    def __rich__(self) -> RenderableType:
        table = Table("before", "after", self.of, "for example")
        for before, after, found in self.ordered():
            style = None if before.method == after.method else "bold"
            table.add_row(Text(str(before), style=style or ""), Text(str(after), style=style or ""), f"{found.flows:,}",
                          Text("\n".join(map(said, found.examples)), overflow="fold"))  # fmt: skip
        total = Text(f"{self.looked_at:,} {self.of} looked at · {self.changed:,} decided otherwise · "
                     f"{self.cut:,} by another {'method' if self.of == 'flows' else 'action'}")
        return Group(table, total) if self.changes else total


def flow_fields(flow: Flow | dict[str, Any]) -> dict[str, Any]:
    """Return what a person would type of a flow."""
    if isinstance(flow, dict):
        return flow
    values = {"namespace": flow.namespace, "location": flow.location, "source": str(flow.source),
              "destination": str(flow.destination), "service": flow.service, "name": flow.name,
              "naming": flow.naming}  # fmt: skip
    return {key: value for key, value in values.items() if value is not None}


def said(flow: Flow | dict[str, Any]) -> str:
    """Return a flow in one line."""
    values = flow_fields(flow)
    known = ", ".join(values[key] for key in ("name", "naming") if key in values and values[key] != NAMINGS[0])
    named = f" ({known})" if known else ""
    place = "".join(f", {values[key]}" for key in ("namespace", "location") if key in values)
    return f"{values['source']} → {values['destination']}{named} {values['service']}{place}"
