"""The programs of docs/examples/embedding, built and run as docs/embedding.md says, on captures and prefixes made here."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpath.geneve import decode_options, encode_header
from fastpath.gwlb import header as gwlb_header
from inner_packets import echo, pieces, tcp, udp

from .compiler import EXAMPLES, PLAIN, compiled, run

CLIENT, SERVER, CLIENT6, SERVER6 = "10.0.0.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"
ETHERNET, RAW, COOKED = 1, 101, 113


def capture(path: Path, packets: list[bytes], link: int = RAW, order: str = "<", keep: int = 65535) -> Path:
    """A classic pcap file of IP packets, one a millisecond, each cut to `keep` bytes with its link header."""
    fronts = {ETHERNET: bytes(12), COOKED: bytes(14), RAW: b""}
    data = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, keep, link)
    for k, packet in enumerate(packets):
        ethertype = b"" if link == RAW else b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
        tag = b"\x81\x00\x00\x07" if link == ETHERNET and k % 2 else b""
        frame = fronts[link] + tag + ethertype + packet
        data += struct.pack(order + "IIII", 1, k * 1000, len(frame[:keep]), len(frame)) + frame[:keep]
    path.write_bytes(data)
    return path


# ---- top talkers ----

CONVERSATION = [
    *[tcp(CLIENT, SERVER, 5000, 443, "A", bytes(1000)), tcp(SERVER, CLIENT, 443, 5000, "A", bytes(100))] * 300,
    udp(CLIENT6, SERVER6, 7, 53, b"abc"), echo(CLIENT, SERVER, 9), b"\x45" + bytes(30),
]


def talkers(path: Path, *options: str) -> dict:
    done = run([sys.executable, str(EXAMPLES / "top_talkers.py"), "--json", *options, str(path)])
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("link", "order", "keep"), [(RAW, "<", 65535), (ETHERNET, ">", 65535), (COOKED, "<", 65535), (ETHERNET, "<", 80)])
def test_top_talkers_counts_flows_whatever_the_link_and_the_cut(tmp_path: Path, link: int, order: str, keep: int) -> None:
    found = talkers(capture(tmp_path / "a.pcap", CONVERSATION, link, order, keep))
    assert (found["packets"], found["flows"], found["evicted"]) == (603, 3, 0)
    assert found["dropped"] == {"DROP_PACKET_TOTAL_LENGTH": 1}
    assert found["bytes"] == 300 * (1040 + 140) + 51 + 28
    assert found["top"] == [
        {"name": "tcp 10.0.0.1:5000 > 192.0.2.1:443", "packets": 600, "bytes": 300 * (1040 + 140)},
        {"name": "udp [2001:db8::1]:7 > [2001:db8::2]:53", "packets": 1, "bytes": 51},
        {"name": "icmp 10.0.0.1:9 > 192.0.2.1:9", "packets": 1, "bytes": 28},
    ]


def test_top_talkers_groups_by_host_and_by_port(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", CONVERSATION)
    hosts = talkers(path, "--by", "host", "--top", "2")["top"]
    assert [(row["name"], row["packets"]) for row in hosts] == [(CLIENT, 601), (SERVER, 601)]
    ports = talkers(path, "--by", "port")["top"]
    assert [(row["name"], row["packets"]) for row in ports] == [("tcp/443", 600), ("udp/53", 1)]


def test_top_talkers_forgets_flows_beyond_its_bound_and_says_so(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", [udp(CLIENT, SERVER, 1000 + k, 53) for k in range(1000)])
    found = talkers(path, "--flows", "100")
    assert (found["flows"], found["packets"]) == (100, 1000)
    assert found["evicted"] > 0 and found["evicted"] + found["dropped"]["DROP_FLOW_TABLE_FULL"] == 900


def test_top_talkers_prints_a_table(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.pcap", CONVERSATION)
    done = run([sys.executable, str(EXAMPLES / "top_talkers.py"), "--top", "1", str(path)])
    assert done.stdout.splitlines() == [
        "         bytes    packets  share  flow",
        "       354,000        600 100.0%  tcp 10.0.0.1:5000 > 192.0.2.1:443",
        "603 packets, 354,079 bytes, 3 flows, 0 evicted",
        "not counted: 1 DROP_PACKET_TOTAL_LENGTH",
    ]


@pytest.mark.parametrize(("content", "said"), [
    (b"", "not a classic pcap file"), (b"\x0a\x0d\x0d\x0a" + bytes(40), "not a classic pcap file"),
    (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 147), "link type 147"),
    (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, RAW) + bytes(9), "cut off"),
    (struct.pack("<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, RAW, 0, 0, 1 << 30, 1 << 30), "damaged"),
])
def test_top_talkers_says_what_is_wrong_with_a_file(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.pcap").write_bytes(content)
    done = run([sys.executable, str(EXAMPLES / "top_talkers.py"), str(tmp_path / "a.pcap")])
    assert done.returncode == 2 and done.stderr.startswith("top_talkers: ") and said in done.stderr


def test_top_talkers_counts_what_lies_before_the_damage(tmp_path: Path) -> None:
    """As a capture is that was not ended properly: nothing that could be read is lost, and it is said."""
    path = capture(tmp_path / "a.pcap", CONVERSATION, RAW, "<")
    whole = talkers(path)["packets"]
    for cut in (3, 3 + len(CONVERSATION[-1])):          # in the last packet, in its record's header
        path.write_bytes(capture(path, CONVERSATION, RAW, "<").read_bytes()[:-cut])
        done = run([sys.executable, str(EXAMPLES / "top_talkers.py"), "--json", str(path)])
        assert done.returncode == 1 and json.loads(done.stdout)["packets"] == whole - 1
        assert done.stderr == f"top_talkers: the last record is cut off; counted up to there: {whole - 1} packets\n"


# ---- the route look-up service ----

ROUTES = "# documentation\n10.0.0.0/8 1\n10.1.0.0/16 2   # inside\n2001:db8::/32 3\n\n0.0.0.0/0 4\n"


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(EXAMPLES / "route_lookup.c", tmp_path_factory.mktemp("c") / "route_lookup", "-pthread")


def test_route_lookup_answers_line_by_line(lookup: Path, tmp_path: Path) -> None:
    (tmp_path / "routes").write_text(ROUTES)
    asked = ["10.9.9.9", "10.1.2.3", "8.8.8.8", "2001:db8::9", "::1", "nonsense", "10.1.0.0/16"]
    done = run([str(lookup), str(tmp_path / "routes")], input="\n".join(asked))
    answers = ["1", "2", "4", "3", "-", "?", "?"]
    assert done.stdout == "".join(f"{line}\t{answer}\n" for line, answer in zip(asked, answers, strict=True))
    assert done.returncode == 0 and done.stderr.endswith("3 IPv4 and 1 IPv6 routes\n")


def test_route_lookup_answers_many_addresses_in_order(lookup: Path, tmp_path: Path) -> None:
    (tmp_path / "routes").write_text("".join(f"10.{k}.0.0/16 {k}\n" for k in range(256)))
    asked = [f"10.{k % 256}.{k % 7}.1" for k in range(3_000)]
    done = run([str(lookup), str(tmp_path / "routes")], input="\n".join(asked) + "\n")
    assert done.stdout.splitlines() == [f"{line}\t{k % 256}" for k, line in enumerate(asked)]


@pytest.mark.parametrize("line", [
    "10.0.0.1/8 1", "10.0.0.0/33 1", "10.0.0.0/8", "10.0.0.0/8 4294967295", "10.0.0.0/8 1 2", "10.0.0/8 1", "2001:db8::/129 1",
    "2001:db8::1/32 1", "10.0.0.0 1",
])
def test_route_lookup_names_the_wrong_line(lookup: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "routes").write_text(f"10.0.0.0/8 1\n{line}\n")
    done = run([str(lookup), str(tmp_path / "routes")], input="10.0.0.1\n")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(f"{tmp_path}/routes")


@pytest.fixture
def service(lookup: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen, int, Path]]:
    """The service on a free UDP port, ready."""
    (tmp_path / "routes").write_text(ROUTES)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([lookup, tmp_path / "routes", str(port)], stderr=subprocess.PIPE, text=True, env=PLAIN)
    try:
        assert process.stderr
        assert [process.stderr.readline().rpartition(": ")[2], process.stderr.readline()] == [
            "3 IPv4 and 1 IPv6 routes\n", "ready\n"]
        yield process, port, tmp_path / "routes"
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_the_service_answers_datagrams_and_reads_its_routes_again(service: tuple[subprocess.Popen, int, Path]) -> None:
    process, port, routes = service
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(20)

        def ask(text: bytes) -> bytes:
            client.send(text)
            return client.recv(9000)

        assert ask(b"10.1.2.3\n2001:db8::5\nx\n") == b"10.1.2.3\t2\n2001:db8::5\t3\nx\t?\n"
        routes.write_text("10.1.0.0/16 77\n")
        process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 20
        while ask(b"10.1.2.3") != b"10.1.2.3\t77\n":
            assert time.monotonic() < until
        assert ask(b"10.9.9.9") == b"10.9.9.9\t-\n"
        routes.write_text("10.1.0.1/16 5\n")                       # a mistake: the routes stay as they were
        process.send_signal(signal.SIGHUP)
        assert process.stderr and "1 IPv4" in process.stderr.readline() and ":1: " in process.stderr.readline()
        assert ask(b"10.1.2.3") == b"10.1.2.3\t77\n"


# ---- the Geneve linter ----

GOOD = gwlb_header(1, 2, 3, 4)
INNER = udp(CLIENT, SERVER, 5, 53)
THREE = decode_options(GOOD)


def edited(header: bytes, *edits: tuple[int, int]) -> bytes:
    data = bytearray(header)
    for at, value in edits:
        data[at] = value
    return bytes(data)


CASES = {
    "right": (GOOD + INNER, []),
    "right, IPv6": (gwlb_header(1, 2, 3, 6) + udp(CLIENT6, SERVER6, 5, 53), []),
    "right, no options": (encode_header() + INNER, []),
    "short": (GOOD[:7], ["error: Geneve: fewer bytes than the header says"]),
    "cut options": (GOOD[:20], ["error: Geneve: fewer bytes than the header says"]),
    "version": (edited(GOOD, (0, 0x48)) + INNER, ["error: Geneve: the version is not 0"]),
    "overrun": (edited(GOOD, (35, 9)) + INNER, ["error: Geneve: an option goes beyond the header"]),
    "protocol": (encode_header(protocol=0x6558) + INNER,
                 ["error: Geneve: neither IPv4 nor IPv6 follows, and the O bit is not set"]),
    "missing": (encode_header(THREE[:2]) + INNER,
                ["error: GWLB: not all of the options 1, 2 and 3 of class 0x0108 are there"]),
    "length": (encode_header([*THREE[:2], (0x0108, 3, bytes(8))]) + INNER,
               ["error: GWLB: an option of class 0x0108 has the wrong length"]),
    "twice": (encode_header([*THREE, THREE[2]]) + INNER, ["warning: option 0x0108 type 0x03: more than once"]),
    "strange": (encode_header([*THREE, (0x0108, 4, b"")]) + INNER,
                ["warning: option 0x0108 type 0x04: Gateway Load Balancer has types 1, 2 and 3"]),
    "vni": (encode_header(THREE, vni=7) + INNER, ["warning: Gateway Load Balancer's VNI is 0, not 7"]),
    "reserved": (edited(GOOD, (1, 0x01), (7, 9), (11, 0x22)) + INNER, [
        "warning: reserved bits 0x01 beside the flags are set", "warning: the reserved byte behind the VNI is 0x09",
        "warning: option 0x0108 type 0x01: reserved bits 0x20 are set"]),
    "critical": (encode_header([(5, 0x81, b"")]) + INNER, ["warning: an option is critical and the C bit is not set"]),
    "not critical": (encode_header(flags=0x40) + INNER, ["warning: the C bit is set and no option is critical"]),
    "family": (gwlb_header(1, 2, 3, 6) + INNER, ["error: protocol type 0x86dd, but the inner packet is IPv4"]),
    "inner": (GOOD + INNER[:24], ["error: inner packet: IP: a length that is more than there is, or impossible"]),
    "padding": (GOOD + INNER + b"abc", ["warning: 3 bytes behind the inner packet"]),
    "control": (encode_header(flags=0x80), ["warning: the O bit is set and no control message follows"]),
}


@pytest.fixture(scope="module")
def linter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(EXAMPLES / "geneve_lint.c", tmp_path_factory.mktemp("c") / "geneve_lint")


@pytest.mark.parametrize("case", CASES)
def test_the_linter_says_what_is_wrong(linter: Path, case: str) -> None:
    payload, wanted = CASES[case]
    done = run([str(linter), "-"], input=payload.hex(" ") + "\n")
    lines = done.stdout.splitlines()
    found = [line.removeprefix("1: ") for line in lines[:-1]]
    assert found == wanted or (set(wanted) <= set(found) and case == "twice")
    assert done.returncode == bool(wanted) and lines[-1].startswith("1 Geneve packets, ")


def test_the_linter_reads_captures_and_numbers_their_geneve_packets(linter: Path, tmp_path: Path) -> None:
    outer = [udp(CLIENT, SERVER, 60000, 6081, CASES[case][0]) for case in ("right", "version", "vni", "missing")]
    other = [tcp(CLIENT, SERVER, 6081, 6081), udp(CLIENT, SERVER, 1, 2), pieces(outer[0], 24)[1]]
    wanted = [
        "2: error: Geneve: the version is not 0", "3: warning: Gateway Load Balancer's VNI is 0, not 7",
        "4: error: GWLB: not all of the options 1, 2 and 3 of class 0x0108 are there",
        "4 Geneve packets, 2 errors, 1 warnings",
    ]
    for link, order in ((RAW, "<"), (ETHERNET, ">"), (COOKED, "<")):
        path = capture(tmp_path / "a.pcap", [*outer[:2], *other, *outer[2:]], link, order)
        done = run([str(linter), str(path)])
        assert (done.returncode, done.stdout.splitlines()) == (1, wanted)


@pytest.mark.parametrize("content", [b"", bytes(24), struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 147)])
def test_the_linter_refuses_what_is_no_capture(linter: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pcap").write_bytes(content)
    done = run([str(linter), str(tmp_path / "a.pcap")])
    assert done.returncode == 2 and "not a" in done.stderr


def test_the_linter_refuses_what_is_not_hex(linter: Path) -> None:
    assert run([str(linter), "-"], input="00 0g\n").returncode == 2


@pytest.mark.parametrize("cut", [3, 3 + len(INNER)])
def test_the_linter_says_that_a_capture_is_cut_off(linter: Path, tmp_path: Path, cut: int) -> None:
    path = capture(tmp_path / "a.pcap", [INNER, INNER], RAW, "<")
    path.write_bytes(path.read_bytes()[:-cut])
    done = run([str(linter), str(path)])
    assert done.returncode == 2 and "cut off" in done.stderr


def test_the_linter_names_the_line_that_is_no_hex(linter: Path) -> None:
    done = run([str(linter), "-"], input=f"{(GOOD + INNER).hex()}\n\n\n000\n")
    assert (done.returncode, done.stderr) == (2, "line 4: not bytes in hex\n")


@pytest.mark.parametrize("name", ["geneve_lint", "route_lookup"])
def test_an_option_that_is_none_is_answered_by_the_usage(tmp_path: Path, name: str) -> None:
    done = run([str(compiled(EXAMPLES / f"{name}.c", tmp_path / name, "-pthread")), "--help"])
    assert done.returncode == 2 and done.stderr.startswith(f"usage: {name} ")
