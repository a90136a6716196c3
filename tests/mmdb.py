"""A small writer of MaxMind DB files, so that tests need no real database.

Source: MaxMind DB file format 2.0: binary tree of 24-bit records, separator of 16 zero bytes, data, metadata.
"""

import struct
from ipaddress import ip_network
from pathlib import Path

MARKER = b"\xab\xcd\xefMaxMind.com"


def encode(value):
    """One value of the data section: mappings, text, whole numbers and lists of these."""
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, str):
        return control(2, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(map(encode, value))
    kind, number = value if isinstance(value, tuple) else (6, value)  # 5, 6, 9: uint16, uint32, uint64
    packed = struct.pack(">Q", number).lstrip(b"\0")
    return control(kind, len(packed)) + packed


def control(kind, size):
    assert size < 29
    return bytes([kind << 5 | size]) if kind <= 7 else bytes([size, kind - 7])


def write_mmdb(path: Path, records: dict[str, object], ip_version: int = 6) -> Path:
    """Write a database; records by network, IPv4 ones at ::/96 as in real files."""
    data, pointers = b"", {}
    root: list = [None, None]
    for text, record in records.items():
        network = ip_network(text)
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
        if network.version == 4 and ip_version == 6:
            bits = "0" * 96 + bits
        packed = encode(record)
        if packed not in pointers:
            pointers[packed] = len(data)
            data += packed
        node = root
        for bit in bits[:-1]:
            child = node[int(bit)]
            if not isinstance(child, list):
                child = node[int(bit)] = [child, child]
            node = child
        node[int(bits[-1])] = pointers[packed]
    path.write_bytes(tree(root, len(data)) + bytes(16) + data + MARKER + metadata(root, ip_version))
    return path


def nodes_of(root):
    listed = [root]
    for node in listed:  # grows while it is walked
        listed += [child for child in node if isinstance(child, list)]
    return listed


def tree(root, size):
    listed = nodes_of(root)
    number = {id(node): n for n, node in enumerate(listed)}

    def value(child):
        if isinstance(child, list):
            return number[id(child)]
        return len(listed) if child is None else len(listed) + 16 + child

    return b"".join(struct.pack(">I", value(child))[1:] for node in listed for child in node)


def metadata(root, ip_version):
    return encode({
        "node_count": len(nodes_of(root)),
        "record_size": (5, 24), "ip_version": (5, ip_version), "database_type": "Test-Country",
        "languages": ["en"], "binary_format_major_version": (5, 2),
        "binary_format_minor_version": (5, 0),
        "build_epoch": (9, 1),
        "description": {"en": "a test"},
    })  # fmt: skip
