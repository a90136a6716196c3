"""Privileges: what a daemon may give up once its sockets are open.

Journey: a role's run() calls drop() when it has started. Only the calling thread's capabilities change, and those of threads
that it starts later. It grants nothing.

Source: capabilities(7), capset(2), prctl(2) PR_CAP_AMBIENT; linux/capability.h for the numbers.
"""

from __future__ import annotations

import ctypes
import logging
import struct

__all__ = ["CAP_BPF", "CAP_NET_RAW", "drop", "held"]

CAP_NET_RAW, CAP_BPF = 13, 39
_VERSION_3 = 0x20080522
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER = 47, 3
_SETS = 6       # effective, permitted, inheritable of capabilities 0 … 31, then of 32 … 63

log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


def held() -> int:
    """Return the effective capabilities of this thread, as a bit mask."""
    sets = _read()
    return sets[0] | sets[3] << 32


def drop(*capabilities: int) -> None:
    """Give capabilities up for good: effective, permitted, inheritable and ambient. One that is not held is no error.

    The kernel's refusal is only logged: the daemon then goes on with more than it needs.
    """
    sets = list(_read())
    for capability in capabilities:
        word, bit = divmod(capability, 32)
        for at in range(3 * word, 3 * word + 3):
            sets[at] &= ~(1 << bit)
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, capability, 0, 0)
    data = ctypes.create_string_buffer(struct.pack(f"={_SETS}I", *sets))
    if _libc.capset(_header(), data) != 0:
        log.warning("capabilities %s could not be dropped: errno %d", capabilities, ctypes.get_errno())


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))


def _read() -> tuple[int, ...]:
    data = ctypes.create_string_buffer(4 * _SETS)
    _libc.capget(_header(), data)
    return struct.unpack_from(f"={_SETS}I", data)
