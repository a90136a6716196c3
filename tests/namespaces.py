"""Network namespaces for tests; `isolation.isolated` runs a test in one of its own.

Root is enough; so is a user namespace. Where neither is allowed the test fails and says so: it is never skipped.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
IFA_F_NODAD = 0x02

_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Move this process into a new network namespace, and a user namespace where it is not root."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(CLONE_NEWNET)
    else:
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _loopback_up()


def another() -> int:
    """Make a further network namespace; return a descriptor of it for `inside`."""
    before = _here()
    _unshare(CLONE_NEWNET)
    _loopback_up()
    made = _here()
    _setns(before)
    os.close(before)
    return made


@contextlib.contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Have this thread work in a namespace; sockets opened meanwhile stay there."""
    before = _here()
    _setns(namespace)
    try:
        yield
    finally:
        _setns(before)
        os.close(before)


def link(name: str, addresses: list[str], other: int, other_name: str, other_addresses: list[str], queues: int = 1) -> None:
    """Join this namespace and another by a veth pair with addresses, both ends up."""
    many = {"num_rx_queues": queues, "num_tx_queues": queues}
    with IPRoute() as ip:
        ip.link("add", ifname=name, kind="veth", **many, peer={"ifname": other_name, "net_ns_fd": other, **many})
        _set_up(ip, name, addresses)
    with inside(other), IPRoute() as ip:
        _set_up(ip, other_name, other_addresses)


def default_route(gateway: str) -> None:
    """Send everything in this namespace to a gateway."""
    with IPRoute() as ip:
        ip.route("add", dst="::/0" if ":" in gateway else "0.0.0.0/0", gateway=gateway)


def _set_up(ip: Any, name: str, addresses: list[str]) -> None:
    index = ip.link_lookup(ifname=name)[0]
    for address in addresses:
        plain, length = address.split("/")
        ip.addr("add", index=index, address=plain, prefixlen=int(length), flags=IFA_F_NODAD if ":" in plain else 0)
    ip.link("set", index=index, state="up")


def _loopback_up() -> None:
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise AssertionError(f"this test needs root or user namespaces, and unshare said: {os.strerror(ctypes.get_errno())}; "
                             "see user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns")


def _setns(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
