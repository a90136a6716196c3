"""Cookies of the DTLS handshake: a stranger proves that it gets what is sent to its address, before
anything is kept for it.

A cookie is HMAC-SHA256(secret, address and port); the secret is new every minute and the one before it
still counts, so a cookie lives one to two minutes and nothing is stored. Pure: time and randomness come in.
One thread.
Source: RFC 6347 §4.2.1.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

__all__ = ["Cookies", "PeerAddress"]

PeerAddress = tuple[int, int]        # IPv4 address as an integer, UDP port

LIFE_NS = 60_000_000_000
SECRET_BYTES = 32


class Cookies:
    """Makes and checks cookies."""

    def __init__(self, now_ns: int, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random = random
        self._secrets = (random(SECRET_BYTES), random(SECRET_BYTES))
        self._since_ns = now_ns

    def rotate(self, now_ns: int) -> None:
        """Renew the secret if its minute is over."""
        if now_ns - self._since_ns >= LIFE_NS:
            self._secrets = (self._random(SECRET_BYTES), self._secrets[0])
            self._since_ns = now_ns

    def make(self, peer: PeerAddress) -> bytes:
        """Return the cookie for a peer."""
        return _digest(self._secrets[0], peer)

    def check(self, peer: PeerAddress, cookie: bytes) -> bool:
        """Return whether a cookie was made for that peer not long ago."""
        made = [hmac.compare_digest(_digest(secret, peer), cookie) for secret in self._secrets]
        return any(made)


def _digest(secret: bytes, peer: PeerAddress) -> bytes:
    return hmac.digest(secret, peer[0].to_bytes(4, "big") + peer[1].to_bytes(2, "big"), "sha256")
