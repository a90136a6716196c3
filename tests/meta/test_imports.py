"""Who may know whom. Each rule says why; a new edge is a decision, not an accident."""

import ast
import re
from pathlib import Path

import pytest

from .sources import FASTPATH, ROOT, ZCC, cimports, imports, module_name, python_files

# fastpath, row by row; a module takes names from the rows above its own only.
ROWS = (
    # the words, and memory
    ("action", "arguments", "naming", "wire", "memory", "batch", "ring", "checksum", "buckets", "dnsname", "routes", "gather",
     "walk", "search", "pivots", "turn",
     "prefixes", "outer", "vnet", "tundevice", "netlink", "interfaces", "napi", "bpf", "bpfcode", "packetfilter",
     "sockets", "steering",
     "bitmaps", "tokens", "openssl", "numerals"),
    # one format, table or device each
    ("geneve", "packet", "flowkey", "flowmarks", "fib", "cells", "groups", "runs", "lpmtable", "lpm", "mmsg",
     "deferral", "segments", "ethernet", "superpacket", "trains", "tunqueue", "packetio",
     "xskqueue", "hairpin", "earlydrop", "redirect", "ringfilter", "dtls", "endpoint", "pools", "rewrite", "refusal", "quote",
     "pieces", "domains", "rows", "frames", "stream", "moderation", "labeltable"),
    # what this product makes of them
    ("packetring", "kernelflows", "counters", "xsk", "gwlb", "flowentry", "flowslots", "flows", "flowbatch", "flowtable",
     "fragments", "portidle", "criteria", "clauseorder", "workloads", "ruletables", "classify", "nametable", "alias", "nat",
     "dns", "owned", "parts", "tunnels", "message", "flowlines", "shard", "memoryport", "askers", "identification", "links"),
    # the order of the journey
    ("routed", "admission", "dnslistener", "egress", "watch", "ingress", "returns", "worker", "outlet", "stages", "outward",
     "inward", "carrier"),
    # the way in for people who build on it
    ("capi",),
    ("__main__",),
)
# Edges inside a row: one thing split into files to stay readable.
SAME_ROW = {
    ("batch", "arguments"): "refuses wrong calls by name",
    ("bitmaps", "arguments"): "refuses wrong calls by name",
    ("bpf", "arguments"): "refuses wrong calls by name",
    ("checksum", "arguments"): "refuses wrong calls by name",
    ("ring", "arguments"): "refuses wrong calls by name",
    ("checksum", "wire"): "reads 16-bit words",
    ("dnsname", "wire"): "reads 16-bit words",
    ("buckets", "memory"): "a bucket array is a kind of memory",
    ("search", "walk"): "addresses that go on one by one",
    ("cells", "fib"): "how what IPv4 readers search is made",
    ("groups", "fib"): "how what IPv6 readers search is made",
    ("groups", "cells"): "memory, and how a change is walked",
    ("runs", "fib"): "how few IPv6 routes are made",
    ("runs", "cells"): "memory",
    ("lpmtable", "runs"): "the writer's side, few IPv6 routes",
    ("lpmtable", "fib"): "readers' side of the table",
    ("lpmtable", "cells"): "the writer's side, IPv4",
    ("lpmtable", "groups"): "the writer's side, IPv6",
    ("lpm", "lpmtable"): "the table behind the interface",
    ("segments", "mmsg"): "the arrays that its system calls want too",
    ("interfaces", "netlink"): "takes the kernel's answers apart",
    ("napi", "netlink"): "takes the kernel's answers apart",
    ("sockets", "packetfilter"): "refuses what a ring has",
    ("deferral", "mmsg"): "receives between two rounds of the kernel's work",
    ("packetio", "deferral"): "how a busy socket is read",
    ("packetio", "segments"): "several datagrams a message",
    ("packetio", "mmsg"): "the system calls behind the sockets",
    ("packetio", "tunqueue"): "the queue behind a device",
    ("tunqueue", "mmsg"): "the arrays that its system calls want too",
    ("tunqueue", "superpacket"): "what the kernel leaves for it to cut",
    ("tunqueue", "trains"): "what it leaves for the kernel to cut",
    ("xskqueue", "ethernet"): "frames that carry Geneve, in and out of a row",
    ("stream", "packetio"): "one more kind of port",
    ("stream", "frames"): "what it carries",
    ("refusal", "packet"): "numbers of protocols and flags",
    ("pieces", "packet"): "numbers of options",
    ("quote", "packet"): "walks extension headers",
    ("rewrite", "packet"): "checks that rows are as it leaves them",
    ("quote", "rewrite"): "an error has addresses of its own too",
    ("rows", "domains"): "patterns are found by name before they are rows",
    ("identification", "fragments"): "the pieces of a datagram have one",
    ("criteria", "workloads"): "checks the class of an argument",
    ("ruletables", "workloads"): "who the ends of a packet are",
    ("clauseorder", "criteria"): "sorts clauses by what they want",
    ("ruletables", "criteria"): "the columns that rows are made of",
    ("redirect", "hairpin"): "the part that answers decided flows",
    ("redirect", "earlydrop"): "the part that refuses strangers while a queue is crowded",
    ("earlydrop", "hairpin"): "how a program looks into a map",
    ("flowmarks", "flowkey"): "what is marked",
    ("xskqueue", "flowmarks"): "the state of a queue that its program sees",
    ("packetio", "flowmarks"): "ports that have flows go first",
    ("ringfilter", "earlydrop"): "the part that refuses strangers while a ring is crowded",
    ("xsk", "kernelflows"): "whose maps its program reads",
    ("counters", "flowtable"): "a packet is counted in its flow",
    ("counters", "kernelflows"): "and so is what the kernel carried",
    ("classify", "criteria"): "the criteria's columns, made in Python",
    ("flows", "flowslots"): "where the flows lie, by itself",
    ("flowbatch", "flows"): "the rows of a batch, for a table",
    ("flowtable", "flowbatch"): "the rows of a batch, for a table",
    ("portidle", "flows"): "looks at flows",
    ("portidle", "flowslots"): "looks at flows",
    ("portidle", "flowtable"): "for callers in Python",
    ("classify", "clauseorder"): "which bit stands for which clause",
    ("classify", "ruletables"): "the rows and tables behind the interface",
    ("flowtable", "flows"): "the table itself, for callers without Python",
    ("flowtable", "flowentry"): "the entry and its lists, laid out by themselves",
    ("owned", "dns"): "what it sends are DNS messages",
    ("tunnels", "parts"): "what a path is too small for",
    ("shard", "fragments"): "fragments go where their first one does",
    ("message", "flowtable"): "a message carries a flow's entry",
    ("flowlines", "message"): "what tells of a flow's end",
    ("egress", "admission"): "a row leaves as its flow was decided",
    ("dnslistener", "admission"): "what it may not answer is posted, what it does is counted there",
    ("worker", "dnslistener"): "one more way in",
    ("worker", "admission"): "what the worker does with a new flow",
    ("outer", "wire"): "writes words",
    ("ingress", "admission"): "a row to its flow",
    ("ingress", "egress"): "a row to its way out",
    ("returns", "admission"): "a packet to the flow that it answers",
    ("returns", "egress"): "and to the workload",
    ("worker", "returns"): "where what comes back comes in",
    ("watch", "admission"): "a name is one more reason to decide a flow",
    ("ingress", "watch"): "what new flows say",
    ("worker", "watch"): "whose answers are commands",
    ("worker", "ingress"): "where the worker's rows come in",
    ("worker", "egress"): "where the worker's rows leave",
    ("outward", "outlet"): "a flow for what has none",
    ("outward", "stages"): "what it may want",
    ("outward", "egress"): "lowers a segment size as that does",
    ("inward", "outlet"): "whose bindings those are",
    ("inward", "stages"): "what it may want",
    ("inward", "egress"): "lowers a segment size as that does",
    ("carrier", "stages"): "their order",
    ("carrier", "outward"): "the way out",
    ("carrier", "inward"): "the way in",
}

ROLES = ("connector", "private_edge", "app_connector", "internet_edge")
WORDS = frozenset({"errors", "clock", "fields", "idle", "device", "wording"})
SERVICES = frozenset({"pki", "telemetry"})
# What each part of zcc may import of zcc, besides itself; the reason is in the comment.
ALLOWED = {
    # words that everything uses know nothing
    "errors": frozenset(),
    "clock": frozenset(),
    "fields": frozenset(),
    "notify": frozenset(),
    "wording": frozenset(),
    "privileges": frozenset(),
    "idle": frozenset({"fields"}),
    "device": frozenset({"fields"}),
    # from file to settings; a role's settings class is imported by name when it is asked for
    "document": frozenset({"errors"}),
    "config": frozenset({"document", "errors", "fields"}),
    # identity and eyes serve every role and know none
    "pki": WORDS,
    "telemetry": WORDS,
    # pure parts never meet each other; they meet in a role
    "policy": WORDS,
    "dns": WORDS,
    "names": WORDS,
    "itunnel": WORDS,
    "synthetic": WORDS,
    # the answer to resolve and who-is is a lease
    "mtunnel": WORDS | {"synthetic"},
    # files that rules look into; their mistakes are told as those of the configuration
    "feeds": WORDS | {"config", "document", "policy"},
    # the kernel's side of the data plane
    "doorway": WORDS,
    # roles compose the parts, never each other
    "connector": WORDS
    | SERVICES
    | {"notify", "privileges", "doorway", "policy", "feeds", "dns", "names", "synthetic", "mtunnel", "itunnel"},
    "private_edge": WORDS | SERVICES | {"notify", "synthetic", "mtunnel"},
    "app_connector": WORDS | SERVICES | {"notify", "mtunnel"},
    "internet_edge": WORDS | SERVICES | {"notify", "doorway", "itunnel"},
    # the way in: argv to a role's run()
    "serve": frozenset({"errors", "notify", "telemetry"}),
    "commands": frozenset(),
    # a tool over one part's file
    "check": frozenset({"config", "document", "errors", "feeds", "policy", "wording"}),
    "explain": frozenset({"config", "feeds", "fields", "policy"}),
    # a capture goes through the connector's own code, which is loaded by name
    "replay": frozenset({"config", "errors", "feeds", "policy"}),
    "policy_command": frozenset({"asking", "config", "feeds", "policy"}),
    # a question to the connector that runs here
    "asking": frozenset({"errors"}),
    "status": frozenset({"asking", "config", "wording"}),
    "ledger": frozenset({"config", "errors", "fields", "synthetic"}),
    "cli": frozenset({"errors", "commands", "config", "serve"}),
    "__main__": frozenset({"cli"}),
}
# Only these touch the compiled package, so that the rest of zcc can be read and tested without it.
DOORWAYS_TO_FASTPATH = {
    "connector/datapath.py": "the connector's data plane",
    "connector/crew.py": "its workers and their tables, made",
    "connector/bound.py": "which of its flows lead to this host's listeners",
    "connector/events.py": "what the data plane says, in the services' words",
    "connector/flow_log.py": "the layout of session records, for the data plane's flows",
    "connector/record_pump.py": "empties the ring of what is only written down",
    "connector/ingress.py": "chooses the data plane's way to GWLB",
    "connector/ruleset.py": "turns the compiled policy into the data plane's bitmaps",
    "connector/replay.py": "the same data plane over a capture",
    "connector/arrival.py": "decodes a capture as the data plane does",
    "connector/capture_names.py": "the data plane's names of addresses, over a capture",
    "connector/followers.py": "fragments and ICMP errors of a capture, by the data plane's tables",
    "connector/listening.py": "what the data plane watches, over a capture",
    "connector/preview.py": "the live flows, decided by a candidate's bitmaps",
    "internet_edge/datapath.py": "the edge's data plane",
    "internet_edge/gate.py": "whose session a datagram is",
    "internet_edge/odd.py": "fragments and ICMP errors of that",
    "internet_edge/apart.py": "packets in parts of that",
    "internet_edge/drops.py": "the names of its drop reasons",
}
# Protocol sessions and decisions take bytes, time and randomness as arguments: no clock, socket or loop.
PURE = (
    "policy",
    "dns",
    "names",
    "document.py",
    "fields.py",
    "errors.py",
    "mtunnel/session.py",
    "mtunnel/frames.py",
    "mtunnel/messages.py",
    "mtunnel/outbox.py",
    "mtunnel/events.py",
    "itunnel/leg.py",
    "itunnel/pathmtu.py",
    "itunnel/session.py",
    "itunnel/wire.py",
    "itunnel/choice.py",
    "synthetic/audit.py",
    "synthetic/pool.py",
    "synthetic/record.py",
    "synthetic/lease.py",
    "synthetic/ledger.py",
)
IMPURE = {
    "asyncio",
    "os",
    "random",
    "secrets",
    "select",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
# Behaviour comes from settings, never from the environment. notify: its socket is the manager's convention.
READ_ENVIRONMENT = {"config.py", "cli.py", "notify.py"}


def row_of(module: str) -> int:
    return next(i for i, row in enumerate(ROWS) if module in row)


def fastpath_modules() -> list[str]:
    files = {path.stem for path in FASTPATH.iterdir() if path.suffix in (".pyx", ".pxd", ".py")}
    return sorted((files - {"__init__"}) | {path.parent.name for path in FASTPATH.glob("*/__init__.py")})


@pytest.mark.parametrize("module", fastpath_modules())
def test_fastpath_modules_take_names_from_the_rows_above_only(module: str) -> None:
    used = set().union(*(cimports(path) for path in FASTPATH.glob(f"{module}.p*") if path.suffix != ".pyi"))
    for other in used - {module}:
        assert row_of(other) < row_of(module) or (module, other) in SAME_ROW, f"{module} may not use {other}"


def test_every_fastpath_module_has_a_row_and_every_row_exists() -> None:
    assert sorted(name for row in ROWS for name in row) == fastpath_modules()


@pytest.mark.parametrize("path", sorted((FASTPATH / "capi").glob("*.p*")), ids=lambda path: path.name)
def test_the_c_interface_takes_names_from_below_the_worker_and_needs_no_python(path: Path) -> None:
    """Its functions are linked without the interpreter: they stand on what has inline functions and no class."""
    if path.suffix in (".pyx", ".pxd"):
        assert all(row_of(module) < 3 for module in cimports(path) - {"capi"})
        assert not re.search(r"^\s*(import|cdef class|def|class)\b|with gil", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(FASTPATH.rglob("*.p*")), ids=lambda path: path.name)
def test_fastpath_knows_nothing_of_zcc(path: Path) -> None:
    if path.suffix in (".py", ".pyx", ".pxd", ".pyi"):
        words = ("import zcc", "from zcc", "cimport zcc")
        assert not any(line.strip().startswith(words) for line in path.read_text().splitlines())


@pytest.mark.parametrize("path", python_files(ZCC), ids=module_name)
def test_zcc_imports_follow_the_table(path: Path) -> None:
    part = path.relative_to(ZCC).parts[0].removesuffix(".py")
    if part in ("lab", "__init__"):
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("zcc.")} - {part, "__version__"}
    assert used <= ALLOWED[part], f"{part} may not import {', '.join(sorted(used - ALLOWED[part]))}"


def test_no_role_and_no_component_knows_the_lab() -> None:
    for path in python_files(ZCC):
        if path.relative_to(ZCC).parts[0] != "lab":
            assert not any(name.startswith("zcc.lab") for name in imports(path)), path


@pytest.mark.parametrize("path", python_files(ZCC), ids=module_name)
def test_few_files_touch_fastpath(path: Path) -> None:
    place = str(path.relative_to(ZCC))
    if place not in DOORWAYS_TO_FASTPATH and not place.startswith("lab/"):
        assert not any(name.split(".")[0] == "fastpath" for name in imports(path))


@pytest.mark.parametrize("part", PURE)
def test_pure_parts_take_time_bytes_and_chance_as_arguments(part: str) -> None:
    target = ZCC / part
    assert target.exists(), f"{part} has moved; correct PURE"
    for path in [target] if target.is_file() else python_files(target):
        used = {name.split(".")[0] for name in imports(path)} & IMPURE
        assert not used, f"{path.relative_to(ROOT)} imports {', '.join(sorted(used))}"


def test_only_the_way_in_reads_the_environment() -> None:
    for path in python_files(ZCC):
        place = str(path.relative_to(ZCC))
        if place in READ_ENVIRONMENT or place.startswith("lab/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")), (
                f"{place}:{node.lineno}"
            )


def test_yaml_is_read_in_one_place() -> None:
    users = {str(path.relative_to(ZCC)) for path in python_files(ZCC) if "yaml" in {*imports(path)}}
    assert {user for user in users if not user.startswith("lab/")} == {"document.py"}
