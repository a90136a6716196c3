"""The reference of fastpath.dns: messages by slices and recursion, errors as exceptions inside."""

from typing import NamedTuple

from fastpath.dns import DnsError

HEADER = 12
RECORDS_MAX, FOUND_MAX, CHAIN_MAX = 512, 256, 16
TTL_MAX = 2**31 - 1
A, CNAME, SOA, AAAA, OPT = 1, 5, 6, 28, 41
MNAME = (b"connector", b"zcc", b"invalid", b"")
RNAME = (b"hostmaster", b"zcc", b"invalid", b"")


class QueryRecord(NamedTuple):
    id: int
    flags: int
    name: str
    type: int
    klass: int
    udp_size: int
    has_opt: bool
    dnssec_ok: bool
    edns_version: int


class Wrong(Exception):
    def __init__(self, error):
        self.error = error


def be16(data, at):
    return int.from_bytes(data[at : at + 2], "big")


def be32(data, at):
    return int.from_bytes(data[at : at + 4], "big")


def text(labels):
    def written(c):
        return chr(c) if 33 <= c <= 126 and chr(c) not in '."\\;()@$' else f"\\{c:03d}"

    return ".".join("".join(written(c) for c in label) for label in labels[:-1])


def wire(labels):
    return b"".join(bytes([len(label)]) + label for label in labels)


def question_name(data):
    """Labels with the empty one last, and where they end; no pointers."""
    labels, at = [], HEADER
    while not labels or labels[-1]:
        if at >= len(data):
            raise Wrong(DnsError.DNS_SHORT)
        end = at + 1 + data[at]
        if data[at] > 63 or end - HEADER > 255:
            raise Wrong(DnsError.DNS_NAME)
        if end > len(data):
            raise Wrong(DnsError.DNS_SHORT)
        labels.append(data[at + 1 : end].lower())
        at = end
    return labels, at


def after_name(data, at):
    while at < len(data):
        if data[at] == 0:
            return at + 1
        if data[at] >= 0xC0:
            break
        if data[at] > 63:
            raise Wrong(DnsError.DNS_RECORDS)
        at += 1 + data[at]
    if at + 2 > len(data):
        raise Wrong(DnsError.DNS_RECORDS)
    return at + 2


def compressed_name(data, at, run=None, jumps=128):
    """Labels with the empty one last, or None."""
    run, labels = at if run is None else run, []
    while at < len(data) and data[at] <= 63:
        if at + 1 + data[at] > len(data):
            return None
        labels.append(data[at + 1 : at + 1 + data[at]].lower())
        if not labels[-1]:
            return labels if len(wire(labels)) <= 255 else None
        at += 1 + data[at]
    if at + 2 > len(data) or data[at] < 0xC0 or not jumps:
        return None
    target = be16(data, at) & 0x3FFF
    rest = compressed_name(data, target, target, jumps - 1) if target < run else None
    whole = None if rest is None else labels + rest
    return whole if whole and len(wire(whole)) <= 255 else None


def records(data, at, count):
    """(start of the name, start of TYPE, RDATA) of each record."""
    found = []
    for _ in range(count):
        fixed = after_name(data, at)
        end = fixed + 10 + be16(data, fixed + 8)
        if fixed + 10 > len(data) or end > len(data):
            raise Wrong(DnsError.DNS_RECORDS)
        found.append((at, fixed, data[fixed + 10 : end]))
        at = end
    return found


def parse(data):
    if len(data) < HEADER:
        raise Wrong(DnsError.DNS_SHORT)
    if data[2] & 0x80:
        raise Wrong(DnsError.DNS_NOT_QUERY)
    if data[2] & 0x78:
        raise Wrong(DnsError.DNS_OPCODE)
    if be16(data, 4) != 1:
        raise Wrong(DnsError.DNS_QUESTIONS)
    labels, at = question_name(data)
    if at + 4 > len(data):
        raise Wrong(DnsError.DNS_SHORT)
    before = be16(data, 6) + be16(data, 8)
    rest = records(data, at + 4, before + be16(data, 10))[before:]
    opts = [fixed for name, fixed, _ in rest if be16(data, fixed) == OPT and fixed == name + 1]
    if len(opts) > 1:
        raise Wrong(DnsError.DNS_RECORDS)
    size, version, ok = 512, 0, False
    if opts:
        size, version, ok = (
            max(512, be16(data, opts[0] + 2)),
            data[opts[0] + 5],
            bool(data[opts[0] + 6] & 0x80),
        )
    query = QueryRecord(
        be16(data, 0),
        be16(data, 2),
        text(labels),
        be16(data, at),
        be16(data, at + 2),
        size,
        bool(opts),
        ok,
        version,
    )
    return query, at + 4


def read_query(message):
    try:
        return parse(bytes(message)[:65535])[0]
    except Wrong as wrong:
        return wrong.error


def read_batch(batch, errors):
    if len(errors) < batch.count:
        raise ValueError(f"errors must have at least {batch.count} entries, not {len(errors)}")
    queries = 0
    for i in range(batch.count):
        errors[i] = 255
        if batch.reason[i] == 0 and batch.protocol[i] == 17 and batch.fragment[i] != 2:
            end = int(batch.inner_start[i]) + int(batch.inner_length[i])
            found = read_query(batch.data[i, int(batch.l4_start[i]) + 8 : end].tobytes())
            errors[i] = found if isinstance(found, DnsError) else DnsError.DNS_OK
            queries += errors[i] == DnsError.DNS_OK
    return queries


def soa(ttl):
    return wire(MNAME) + wire(RNAME) + b"".join(n.to_bytes(4, "big") for n in (1, 3600, 600, 86400, ttl))


def record(kind, ttl, data):
    head = b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1" + ttl.to_bytes(4, "big")
    return head + len(data).to_bytes(2, "big") + data


def opt(query, rcode, extended_error, words):
    option = b""
    if extended_error is not None:
        body = extended_error.to_bytes(2, "big") + words
        option = b"\0\x0f" + len(body).to_bytes(2, "big") + body
    flags = bytes([rcode >> 4, 0, 0x80 if query.dnssec_ok else 0, 0])
    return b"\0\0\x29" + (1232).to_bytes(2, "big") + flags + len(option).to_bytes(2, "big") + option


def refuse(data, error):
    if len(data) < HEADER or data[2] & 0x80:
        return b""
    return data[:2] + bytes([0x80 | data[2] & 0x79, 4 if error == DnsError.DNS_OPCODE else 1]) + bytes(8)


def check(**limits):
    for name, (value, most) in limits.items():
        if not 0 <= value <= most:
            raise ValueError(f"{name} must be 0 to {most}, not {value}")


def build_answer(message, *, rcode=0, type=0, data=b"", ttl=0, extended_error=None, text="", limit=1232):
    words = text.encode()
    check(
        rcode=(rcode, 4095),
        type=(type, 65535),
        data=(len(data), 65000),
        text=(len(words), 255),
        limit=(limit or 0, 65535),
        extended_error=(extended_error or 0, 65534),
        ttl=(ttl, TTL_MAX),
    )
    asked = bytes(message)[:65535]
    try:
        query, end = parse(asked)
    except Wrong as wrong:
        return refuse(asked, wrong.error)
    rcode = 2 if rcode > 15 and not query.has_opt else rcode
    negative = not type and rcode in (0, 3)
    answer = [record(type, ttl, data)] if type else []
    authority = [record(SOA, ttl, soa(ttl))] if negative else []
    extra = [opt(query, rcode, extended_error, words)] if query.has_opt else []
    most = min(limit, query.udp_size) if limit else 65535
    truncated = end + len(b"".join(answer + authority + extra)) > most
    if truncated:
        answer, authority = [], []
    flags = (
        0x8080
        | query.flags & 0x0110
        | rcode & 15
        | (0x0400 if type or negative else 0)
        | (0x0200 if truncated else 0)
    )
    counts = [1, len(answer), len(authority), len(extra)]
    head = asked[:2] + flags.to_bytes(2, "big") + b"".join(n.to_bytes(2, "big") for n in counts)
    return head + asked[HEADER:end] + b"".join(answer + authority + extra)


def follow(data, found, chain):
    """The (name, least ttl) that the last of the chain is an alias for, or None."""
    owner, ttl = chain[-1]
    for name, fixed, rdata in found:
        if be16(data, fixed) == CNAME and be16(data, fixed + 2) == 1 and compressed_name(data, name) == owner:
            target = compressed_name(data[: fixed + 10 + len(rdata)], fixed + 10)
            known = target is None or any(target == other for other, _ in chain)
            return None if known else (target, min(ttl, seconds(data, fixed)))
    return None


def seconds(data, fixed):
    ttl = be32(data, fixed + 4)
    return ttl if ttl <= TTL_MAX else 0


def read_addresses(message):
    data = bytes(message)[:65535]
    if len(data) < HEADER or not data[2] & 0x80 or data[2] & 0x78 or be16(data, 4) != 1:
        return []
    asked = compressed_name(data, HEADER)
    try:
        start = after_name(data, HEADER) + 4
        if asked is None or start > len(data):
            return []
        found = records(data, start, min(be16(data, 6), RECORDS_MAX))
    except Wrong:
        return []
    chain = [(asked, TTL_MAX)]
    while len(chain) <= CHAIN_MAX and (alias := follow(data, found, chain)):
        chain.append(alias)
    names = [labels for labels, _ in chain]
    out = []
    for name, fixed, rdata in found:
        owner = compressed_name(data, name)
        wanted = {A: 4, AAAA: 16}.get(be16(data, fixed))
        if be16(data, fixed + 2) == 1 and len(rdata) == wanted and owner in names:
            at = names.index(owner)
            chain_text = tuple(text(labels) for labels in names[: at + 1])
            out.append((chain_text, rdata, min(chain[at][1], seconds(data, fixed))))
    return out[:FOUND_MAX]
