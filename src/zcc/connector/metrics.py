"""Metrics: the worker's counters and the services' own, as Prometheus reads them.

Journey: `GET /metrics` collects the registry; this collector reads the numbers at that moment and keeps
none itself. Every drop reason is a series from the start, zero included, so that an alert can be written
before the first drop.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zcc.connector.ports import Counters


class ConnectorCollector(Collector):
    """Reads the connector's counters when asked."""

    def __init__(
        self,
        counters: Callable[[], Counters],
        services: Mapping[str, Callable[[], Mapping[str, int]]],
        gauges: Mapping[str, Callable[[], int]],
    ) -> None:
        """Remember what to read.

        Args:
            counters: the data plane's.
            services: by service, such as "dns", its counts of events by name; these only grow.
            gauges: by name, such as "zpa_streams", a number that goes up and down.
        """
        self._counters = counters
        self._services = services
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering does not read the worker before it runs."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
        now = self._counters()
        yield _counter("zcc_packets", "Packets by forwarding method", "method", now.packets)
        yield _counter("zcc_bytes", "Bytes of inner packets by forwarding method", "method", now.bytes)
        yield _counter("zcc_drops", "Packets dropped, by reason", "reason", now.drops)
        yield _counter("zcc_punts", "Events of the worker, by reason", "reason", now.punts)
        yield _counter("zcc_ring_lost", "Records lost because a ring was full", "ring", now.rings_lost)
        yield GaugeMetricFamily("zcc_flows", "Flows alive", value=now.flows)
        yield CounterMetricFamily("zcc_flows_opened", "Flows opened", value=now.flows_opened)
        yield CounterMetricFamily("zcc_dns_answered", "Queries answered in the data plane", value=now.dns_answered)
        yield CounterMetricFamily(
            "zcc_dns_unrecorded", "Of these, more than the DNS log takes", value=now.dns_unrecorded
        )
        yield _counter("zcc_refusals", "Resets and ICMP errors that packets were answered with", "kind", now.refusals)
        yield CounterMetricFamily("zcc_cut", "Packets too large for their way out, sent in fragments", value=now.cut)
        yield CounterMetricFamily(
            "zcc_handed_over", "Packets that the kernel gave to another worker than their own", value=now.handed_over
        )
        for service, read in self._services.items():
            yield _counter(f"zcc_{service}_events", f"Events of the {service} service", "event", read())
        for name, number in self._gauges.items():
            yield GaugeMetricFamily(f"zcc_{name}", f"{name.replace('_', ' ')} now", value=number())


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
