"""ClientHellos: made by hand to try odd ones, and by TLS libraries."""

import ssl


def extension(kind: int, content: bytes) -> bytes:
    """One extension."""
    return kind.to_bytes(2) + len(content).to_bytes(2) + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    """The extension server_name."""
    entry = bytes([kind]) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


def message(*extensions: bytes, session: bytes = b"", ciphers: bytes = b"\x13\x01", compressions: bytes = b"\0") -> bytes:
    """A handshake message with extensions; none at all where there is none."""
    body = b"\x03\x03" + bytes(range(32)) + bytes([len(session)]) + session
    body += len(ciphers).to_bytes(2) + ciphers + bytes([len(compressions)]) + compressions
    joined = b"".join(extensions)
    body += len(joined).to_bytes(2) + joined if extensions else b""
    return b"\x01" + len(body).to_bytes(3) + body


def hello(name: str | None, *, ech: bool = False, padding: int = 0) -> bytes:
    """A handshake message as clients send it."""
    parts = [extension(43, b"\x02\x03\x04"), extension(21, bytes(padding))]
    parts += [] if name is None else [server_name(name.encode())]
    parts += [extension(0xFE0D, bytes(40))] if ech else []
    return message(*parts)


def records(handshake: bytes, size: int = 1 << 14) -> bytes:
    """The message in TLS records of at most so many octets."""
    parts = [handshake[at : at + size] for at in range(0, len(handshake), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


def of_library(context: ssl.SSLContext, name: str | None) -> bytes:
    """What Python's ssl sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake with nobody")
