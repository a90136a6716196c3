"""GWLB's options, the obvious way."""

from fastpath.action import DropReason
from model.geneve import decode_options, encode_header

_SIZES = {1: 8, 2: 8, 3: 4}


def _decode(batch, i):
    start, length = int(batch.geneve_start[i]), int(batch.geneve_length[i])
    if length > 48:
        return DropReason.DROP_GWLB_HEADER_LONG
    found = {}
    for klass, kind, data in decode_options(batch.data[i, start : start + length].tobytes()):
        if klass == 0x0108 and kind in _SIZES:
            if len(data) != _SIZES[kind]:
                return DropReason.DROP_GWLB_OPTION_LENGTH
            found[kind] = int.from_bytes(data, "big")
        elif kind & 0x80:
            return DropReason.DROP_GENEVE_PROTOCOL
    if set(found) != set(_SIZES):
        return DropReason.DROP_GWLB_OPTION_MISSING
    batch.endpoint[i], batch.attachment[i], batch.cookie[i] = found[1], found[2], found[3]
    return DropReason.DROP_NONE


def decode_batch(batch):
    """Decode every live row."""
    for i in range(batch.count):
        if batch.reason[i] == 0:
            reason = _decode(batch, i)
            if reason:
                batch.reason[i], batch.action[i] = reason, 3
    return batch.alive()


def header(endpoint, attachment, cookie, ip_version):
    """What GWLB sends."""
    if ip_version not in (4, 6):
        raise ValueError("ip_version")
    options = [
        (0x0108, 1, endpoint.to_bytes(8, "big")),
        (0x0108, 2, attachment.to_bytes(8, "big")),
        (0x0108, 3, cookie.to_bytes(4, "big")),
    ]
    return encode_header(options, protocol=0x0800 if ip_version == 4 else 0x86DD)


def endpoint_name(endpoint):
    """vpce- and 17 digits."""
    return "vpce-" + hex(endpoint)[2:].zfill(17)


def endpoint_id(name):
    """The number behind a name."""
    prefix, _, digits = name.partition("-")
    if (
        prefix != "vpce"
        or len(digits) != 17
        or digits[0] != "0"
        or any(d not in "0123456789abcdef" for d in digits)
    ):
        raise ValueError("name")
    return int(digits, 16)
