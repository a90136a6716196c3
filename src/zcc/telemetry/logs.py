"""The four record streams of an agent: session, dns, tunnel and event.

Each is <directory>/<kind>.jsonl, or all go to standard output, told apart by their field "log". Every record
carries recordid, log, time (ISO 8601, UTC), vm_name, and group_name and connector_type where they apply.
Control plane only; a call queues and returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Unpack

from zcc.clock import Clock, SystemClock
from zcc.telemetry.records import DnsFields, EventFields, SessionFields, TunnelFields
from zcc.telemetry.settings import LogSettings
from zcc.telemetry.stream import LogStream

__all__ = ["KINDS", "Logs"]

KINDS = ("session", "dns", "tunnel", "event")


class Logs:
    """Writes the records of one agent."""

    def __init__(
        self,
        settings: LogSettings,
        agent: str,
        *,
        group: str = "",
        role: str = "",
        clock: Clock | None = None,
    ) -> None:
        """Open the four streams.

        Args:
            settings: where they go.
            agent: the agent's name; vm_name of every record.
            group: its group; group_name.
            role: its role; connector_type.
            clock: what time records get.

        Raises:
            ZccError: a file cannot be opened.
        """
        self._clock = clock or SystemClock()
        named = {"vm_name": agent, "group_name": group, "connector_type": role}
        self._agent = {field: value for field, value in named.items() if value}
        # Microseconds: a restarted agent goes on above all numbers it has used, below 1 M records a second.
        first = round(self._clock.time() * 1e6)
        folder = settings.directory
        if folder is None:
            self._streams = dict.fromkeys(KINDS, LogStream(None, first))
        else:
            self._streams = {kind: LogStream(folder / f"{kind}.jsonl", first) for kind in KINDS}

    def session(self, **fields: Unpack[SessionFields]) -> None:
        """Record a flow that has ended or was refused."""
        self._write("session", fields)

    def session_lines(self, make: Callable[[int, bytes], tuple[bytes, int]], *, all_of_it: bool = False) -> bool:
        """Record flows by lines that are ready; what there is no room for is not made.

        Args:
            make: called with the number of the first record, to be counted on, and the text of what every record has behind it,
                `,"log":"session","time":…`; returns the lines and how many they are.
            all_of_it: also where there is no room, at the end.
        Returns:
            False when there was no room and `make` was not called.
        """
        common = json.dumps(self._common("session"), ensure_ascii=False, separators=(",", ":"))
        head = b"," + common.encode(errors="backslashreplace")[1:-1]
        return self._streams["session"].write_lines(lambda number: make(number, head), all_of_it=all_of_it)

    def lose_sessions(self, count: int) -> None:
        """Tell of so many flows that were lost on their way to here."""
        self._streams["session"].lose(count)

    def dns(self, **fields: Unpack[DnsFields]) -> None:
        """Record a query and what became of it."""
        self._write("dns", fields)

    def tunnel(self, **fields: Unpack[TunnelFields]) -> None:
        """Record a tunnel's change, or a sample of its counters."""
        self._write("tunnel", fields)

    def event(self, **fields: Unpack[EventFields]) -> None:
        """Record a change of the agent's own state."""
        self._write("event", fields)

    @property
    def written(self) -> int:
        """Records that have reached their file, of all kinds."""
        return sum(stream.written for stream in set(self._streams.values()))

    @property
    def lost(self) -> int:
        """Records that were lost, of all kinds; each is part of a gap record."""
        return sum(stream.lost for stream in set(self._streams.values()))

    def close(self) -> None:
        """Write what waits and stop the writers."""
        for stream in set(self._streams.values()):
            stream.close()

    def _write(self, kind: str, fields: Mapping[str, object]) -> None:
        self._streams[kind].write({**self._common(kind), **fields})

    def _common(self, kind: str) -> dict[str, object]:
        time = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="milliseconds")
        return {"log": kind, "time": time, **self._agent}
