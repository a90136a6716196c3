"""The lab's own servers: what they send is what the rows expect."""

import hashlib

import dns.message
import dns.rcode
import pytest

from zcc.lab.servers.content import BLOCK_BYTES, blocks, checksum
from zcc.lab.servers.names import answer

ZONE = {"www.internet.example": ("203.0.113.10", "2001:db8:113::10"), "four.example": ("203.0.113.20",)}


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
def test_a_download_has_its_size_and_checksum(size: int) -> None:
    data = b"".join(blocks(size))
    assert len(data) == size
    assert hashlib.sha256(data).hexdigest() == checksum(size)


def test_no_two_megabytes_of_a_download_are_equal() -> None:
    digests = {hashlib.sha256(block).digest() for block in blocks(64 * BLOCK_BYTES)}
    assert len(digests) == 64


@pytest.mark.parametrize(
    ("name", "kind", "code", "addresses"),
    [
        ("WWW.internet.example.", "A", dns.rcode.NOERROR, ["203.0.113.10"]),
        ("www.internet.example", "AAAA", dns.rcode.NOERROR, ["2001:db8:113::10"]),
        ("four.example", "AAAA", dns.rcode.NOERROR, []),
        ("www.internet.example", "TXT", dns.rcode.NOERROR, []),
        ("nobody.example", "A", dns.rcode.NXDOMAIN, []),
    ],
)
def test_the_name_server_answers_from_its_zone(
    name: str, kind: str, code: int, addresses: list[str]
) -> None:
    response = answer(dns.message.make_query(name, kind), ZONE)
    assert response.rcode() == code
    assert [item.to_text() for rrset in response.answer for item in rrset] == addresses
