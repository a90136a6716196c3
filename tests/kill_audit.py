"""`zcc ledger who ADDRESS --at TIME` beside the records themselves, read one by one by whoever checks.

Between any two records nothing happens, so a moment between them is asked about for every address that either names; the
answer must be who the records up to there leave the address to.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from typer.testing import CliRunner

from zcc.ledger import ledger
from zcc.synthetic.record import Record, RecordKind

__all__ = ["wrong_audits"]

ASKED = 200  # moments at most


def wrong_audits(state: Path, records: Sequence[Record]) -> list[str]:
    """Say every answer of the command that the records contradict."""
    moments = list(_moments(records))
    found = []
    for address, at, holder in moments[:: max(1, len(moments) // ASKED)]:
        said = _asked(state, address, at)
        if said != holder:
            found.append(f"zcc ledger who {IPv4Address(address)} --at {at:.6f} says {said!r}, the records {holder!r}")
    return found


def _moments(records: Sequence[Record]) -> Iterator[tuple[int, float, str | None]]:
    """Yield an address, a moment, and who held it then."""
    holder: dict[int, str | None] = {}
    for one, following in itertools.pairwise(records):
        holder[one.address] = None if one.kind is RecordKind.RELEASED else one.name
        if following.at - one.at > 1e-3:  # a moment of its own
            at = (one.at + following.at) / 2
            yield from ((address, at, holder.get(address)) for address in {one.address, following.address})


def _asked(state: Path, address: int, at: float) -> str | None:
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    done = CliRunner().invoke(ledger, ["who", str(IPv4Address(address)), "--at", moment, "--state", str(state), "--json"])
    names = [json.loads(line)["name"] for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(names) <= 1 and done.exit_code == (0 if names else 1), done.output
    return names[0] if names else None
