"""The Internet checksum, the obvious way."""


def checksum(data):
    """RFC 1071, word by word."""
    if len(data) > 65535:
        raise ValueError("data must be at most 65535 bytes")
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[k : k + 2], "big") for k in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def updated(checksum, old, new):
    """RFC 1624, equation 3."""
    total = (~checksum & 0xFFFF) + (~old & 0xFFFF) + new
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
