"""A right call of each public function of fastpath, and the kinds of its arguments; for tests/fastpath/test_arguments.py.

ELSEWHERE says which functions are not here, and why.
"""

from argument_calls import crew, formats, products, tables
from argument_calls.call import Call, T, model_of, module_of

__all__ = ["CALLS", "ELSEWHERE", "PARTS", "Call", "model_of", "module_of"]

PARTS = formats, tables, products, crew     # each adds its calls
CALLS = T.calls

_ROOT = "opens what needs rights: tried in namespaces by test_packetio, test_gateway_ports, test_kernel_flows"
_PARTS = "takes objects of classes, which Cython refuses by name; composed and tried by test_worker and its like"
_CARRIED = "over parts that are composed: test_carrier"
ELSEWHERE = {
    "returns.Returns": _PARTS, "watch.Watch": _PARTS,
    "batch.PacketBatch.load": "test_batch_calls: frames are named by their number",
    "classify.RuleSet": "test_criteria: columns are refused by name and column",
    "endpoint.EndpointMap": "triples, each part named: test_calls_of_tables",
    "dtls.Session": "test_dtls", "dtls.Session.seal": "test_dtls", "dtls.Session.open": "test_dtls",
    "dtls.Session.open_rows": "rows as in Port.send; test_dtls", "dtls.Session.seal_rows": "rows as in Port.send; test_dtls",
    "packetio.GeneveSocket": _ROOT, "packetio.Device": _ROOT, "packetio.Device.tun": _ROOT, "packetio.Device.veth": _ROOT,
    "packetring.PacketRing": _ROOT, "xsk.XskPort": _ROOT,
    "xsk.patiently": _ROOT, "xskqueue.XskQueue": _ROOT, "kernelflows.KernelFlows": _ROOT, "flowmarks.FlowMarks": _ROOT,
    "admission.Admission": _PARTS, "admission.Admission.exchange_rules": _PARTS, "dnslistener.DnsListener": _PARTS,
    "egress.Egress": _PARTS, "egress.Egress.encode_batch": _PARTS, "ingress.Ingress": _PARTS,
    "ingress.Ingress.walk_batch": _PARTS, "ingress.Ingress.place_batch": _PARTS, "ingress.Ingress.decide_batch": _PARTS,
    "ruletables.RuleTables": "made by RuleSet of what it has checked", "tunnels.Tunnels.attach": _PARTS,
    "worker.Worker": _PARTS, "worker.Worker.listen": _PARTS, "worker.Worker.step": _PARTS, "worker.Worker.exchange": _PARTS,
    "stream.Stream": "test_stream", "stream.Stream.send_bytes": "test_stream", "tunnels.Tunnels.attach_stream": _PARTS,
    "routed.RoutedPort": "takes devices, which want rights: test_routed",
    "links.Link": "made by Links.add", "links.Links.add": "takes a session: test_links",
    "links.Links.remove": "takes a Link: test_links",
    "outlet.Outlet": "takes tables, and addresses: test_outlet", "outlet.Outlet.admit_batch": "an own batch: test_outlet",
    "outlet.Outlet.end_flows": "test_outlet", "outlet.Outlet.oldest_flows": "test_outlet",
    "outward.Outward": _PARTS, "inward.Inward": _PARTS, "carrier.Carrier": _PARTS,
    "inward.Inward.encapsulate_rows": _CARRIED, "inward.Inward.enter_rows": _CARRIED, "carrier.Carrier.run": _CARRIED,
    "carrier.Carrier.step": _CARRIED, "carrier.Carrier.go_on": _CARRIED, "carrier.Carrier.begin": _CARRIED,
    "pools.Pools": "test_pools", "pools.Pools.replace": "test_pools", "shard.Shard": "made by shards of what it has checked",
}
