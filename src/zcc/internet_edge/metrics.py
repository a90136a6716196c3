"""Metrics of an internet edge: its counters, read at the moment of the scrape.

Every drop reason is a series from the start, zero included, so that an alert can be written before the
first drop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["EdgeCollector", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The edge's counters; all but sessions, streams, flows and half_open only grow."""

    packets: Mapping[str, int]      # by direction: to_internet, to_tunnels
    bytes: Mapping[str, int]
    drops: Mapping[str, int]        # by reason
    handshakes: Mapping[str, int]   # by what became of them
    stream_handshakes: Mapping[str, int]
    take_overs: Mapping[str, int]   # by what became of them
    black_holes: int                # sizes of paths that were lost, of sessions that have ended
    streams: int                    # sessions by TLS
    sessions: int                   # by DTLS
    half_open: int
    flows: int


class EdgeCollector(Collector):
    """Reads a snapshot when asked."""

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering reads nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
        now = self._read()
        yield _counter("zcc_packets", "Packets forwarded, by direction", "direction", now.packets)
        yield _counter("zcc_bytes", "Bytes of inner packets forwarded, by direction", "direction", now.bytes)
        yield _counter("zcc_drops", "Packets dropped, by reason", "reason", now.drops)
        yield _counter("zcc_dtls_handshakes", "DTLS handshakes, by outcome", "outcome", now.handshakes)
        yield _counter("zcc_tls_handshakes", "TLS handshakes by TCP, by outcome", "outcome", now.stream_handshakes)
        yield _counter("zcc_tunnel_takeovers", "Sessions that asked to take over, by outcome", "outcome", now.take_overs)
        yield CounterMetricFamily("zcc_path_black_holes", "Sizes of paths that were lost", value=now.black_holes)
        yield GaugeMetricFamily("zcc_tls_sessions", "TLS sessions established, where UDP is blocked", value=now.streams)
        yield GaugeMetricFamily("zcc_dtls_sessions", "DTLS sessions established", value=now.sessions)
        yield GaugeMetricFamily("zcc_dtls_half_open", "DTLS handshakes in progress", value=now.half_open)
        yield GaugeMetricFamily("zcc_flows", "Flows alive", value=now.flows)


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
