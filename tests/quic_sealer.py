"""Initial packets as a QUIC client seals them, to try what reads them; written beside it and sharing none of it.

Spec: RFC 9000 §17.2.2, RFC 9001 §5, RFC 9369 §3.3.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SALTS = {1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", 0x6B3343CF: "0dede3def700a6db819381be6e269dcbf9bd2ed9"}
PREFIX = {1: b"quic ", 0x6B3343CF: b"quicv2 "}
FIRST = {1: 0xC0, 0x6B3343CF: 0xD0}
V1, V2 = 1, 0x6B3343CF


def varint(number: int) -> bytes:
    """The shortest form."""
    for size, (bits, mark) in {1: (6, 0), 2: (14, 1), 4: (30, 2), 8: (62, 3)}.items():
        if number < 1 << bits:
            return (number | mark << (8 * size - 2)).to_bytes(size)
    raise ValueError(number)


def crypto(offset: int, octets: bytes) -> bytes:
    """A CRYPTO frame."""
    return b"\x06" + varint(offset) + varint(len(octets)) + octets


def _label(secret: bytes, label: bytes, length: int) -> bytes:
    info = length.to_bytes(2) + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    return HKDFExpand(SHA256(), length, info).derive(secret)


def secrets(version: int, connection: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, IV and header key of a client."""
    extract = HMAC(bytes.fromhex(SALTS[version]), SHA256())
    extract.update(connection)
    client = _label(extract.finalize(), b"client in", 32)
    return tuple(_label(client, PREFIX[version] + name, size) for name, size in ((b"key", 16), (b"iv", 12), (b"hp", 16)))


def initial(payload: bytes, *, version: int = V1, connection: bytes = bytes(range(8)), number: int = 0,
            number_bytes: int = 4, token: bytes = b"", keys_of: bytes | None = None, size: int = 0) -> bytes:
    """A packet.

    Args:
        keys_of: connection id that keys are made of; None = its own.
        size: of the packet; the payload is padded for it.
    """
    key, iv, hp = secrets(version, connection if keys_of is None else keys_of)
    begin = version.to_bytes(4) + bytes([len(connection)]) + connection + b"\0" + varint(len(token)) + token
    payload += bytes(max(0, 4 - number_bytes - len(payload), size - 1 - len(begin) - 2 - number_bytes - len(payload) - 16))
    length = number_bytes + len(payload) + 16
    shown = (number & ((1 << 8 * number_bytes) - 1)).to_bytes(number_bytes)
    header = bytes([FIRST[version] | number_bytes - 1]) + begin + (0x4000 | length).to_bytes(2) + shown
    nonce = (int.from_bytes(iv) ^ number).to_bytes(12)
    sealed = AESGCM(key).encrypt(nonce, payload, header)
    sample = sealed[4 - number_bytes : 20 - number_bytes]
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sample)
    at = len(header) - number_bytes
    hidden = bytes(a ^ b for a, b in zip(shown, mask[1:], strict=False))
    return bytes([header[0] ^ mask[0] & 0x0F]) + header[1:at] + hidden + sealed
