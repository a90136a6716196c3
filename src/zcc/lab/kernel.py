"""The Linux calls that the lab needs and Python 3.11 does not offer: unshare, setns, mount, prctl.

Used by namespaces and host only. unshare(2), setns(2), mount(2), prctl(2). It holds no state.
"""

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces.

    Args:
        flags: CLONE_NEW… bits.
    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace that `descriptor` refers to.

    Args:
        descriptor: an open file of /proc/PID/ns.
        kind: the CLONE_NEW… bit that the namespace must be of.
    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount `source` on `target`.

    Raises:
        OSError: the kernel refused; its file name is `target`.
    """
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    _check(result, target)


def die_with_parent() -> None:
    """Ask the kernel to kill the calling process when its parent ends, however it ends.

    A change of credentials forgets the wish, so call it after entering a user namespace.
    """
    _check(_libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl")


def become_root_of_namespace(user: int, group: int) -> None:
    """Map the one user and group that an ordinary user may map to 0, in a user namespace just made.

    Args:
        user: the user id outside.
        group: the group id outside.
    Source: user_namespaces(7), "Defining user and group ID mappings".
    """
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _check(result: int, name: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)
