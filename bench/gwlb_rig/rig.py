"""Two namespaces joined by a veth pair: the gateway's on one core, the device under test's on another with all its kernel work.

    core 0: load, NAPI thread of g0            core 1: device under test, NAPI thread of d0

Threaded NAPI makes the receive work of each side a thread that can be pinned and whose time can be read, so that "one core"
means one core for everything. Interrupts are put off by timers while a side is busy, as a network card's moderation does.
Both programs run at real-time priority, below the NAPI threads, so that whatever else the machine does is not in the figures.
An engine that never sleeps must not be there, as Linux takes back 5 % of real-time work in one piece: it is `nice`, at -20.
Nor is that an order for more packets than can be carried, as receive work that is always first leaves the engine nothing: both
are `nice` then, equals, as they are outside (Linux starts NAPI and ksoftirqd threads at nice 0, where programs are).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

import namespaces
from bench.gwlb_rig import load

GATEWAY_CORE, DEVICE_CORE = 0, 1
MTU = 3000
NICE = -20
CLONE_NEWNET, CLONE_NEWNS, MS_PRIVATE_ALL = 0x40000000, 0x00020000, 0x44000
SIOCETHTOOL, ETHTOOL_SGRO, ETHTOOL_STSO = 0x8946, 0x2C, 0x1F
MODERATION = {"napi_defer_hard_irqs": 20, "gro_flush_timeout": 50_000}
_libc = ctypes.CDLL(None, use_errno=True)


class Rig:
    """The namespaces and the load; close() ends all of it.

    nice: what of the device's side is not at real-time priority: "engine", "receive".
    """

    def __init__(self, payload: bytes, in_kernel: bool, port: int = 443, *, nice: Collection[str] = ()) -> None:
        self.undo, self._nice_engine = contextlib.ExitStack(), "engine" in nice
        self.device, self.gateway = namespaces.another(), namespaces.another()
        for descriptor in (self.device, self.gateway):
            self.undo.callback(os.close, descriptor)
        with namespaces.inside(self.gateway):
            namespaces.link("g0", [f"{load.GATEWAY}/24"], self.device, "d0", [f"{load.DEVICE}/24"])
        before = set(napi_threads())
        for space, name, mac in ((self.gateway, "g0", load.GATEWAY_MAC), (self.device, "d0", load.DEVICE_MAC)):
            prepare(space, name, mac)
        threads = {name: pid for pid, name in napi_threads().items() if pid not in before}
        self.napi = {end: next(pid for name, pid in threads.items() if name.startswith(f"napi/{end}-")) for end in ("g0", "d0")}
        for end, core in (("g0", GATEWAY_CORE), ("d0", DEVICE_CORE)):
            os.sched_setaffinity(self.napi[end], {core})
            if "receive" in nice and end == "d0":
                os.setpriority(os.PRIO_PROCESS, self.napi[end], NICE)
            else:
                os.sched_setscheduler(self.napi[end], os.SCHED_FIFO, os.sched_param(50))
        command = [sys.executable, "-m", "bench.gwlb_rig.load", "g0", payload.hex(), str(port), str(GATEWAY_CORE),
                   "xdp" if in_kernel else "skb"]
        self._load = self.start(command, self.gateway)
        ready(self._load)

    def start(self, command: list[str], space: int | None = None, **options: object) -> subprocess.Popen[str]:
        """Start a program in a namespace, the device's unless told; it ends when its input does, or by the rig's end."""
        with namespaces.inside(self.device if space is None else space):
            made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,  # type: ignore[call-overload]
                                    cwd=options.pop("cwd", Path(__file__).parents[2]), **options)
        if self._nice_engine and space is None:
            os.setpriority(os.PRIO_PROCESS, made.pid, NICE)
        else:
            os.sched_setscheduler(made.pid, os.SCHED_RR, os.sched_param(1))
        self.undo.callback(end, made)
        return made

    def trial(self, device: subprocess.Popen[str], seconds: float, window: int, **more: float) -> tuple[float, float]:
        """Measure once: (kpps that came back, microseconds of CPU time of the device's core a packet)."""
        busy = [*tasks(device.pid), self.napi["d0"], *softirq_threads()]
        before = run_ns(busy)
        found = self.send(seconds=seconds, window=window, **more)
        used = run_ns(busy) - before
        if found["bad"] or not found["received"]:
            raise RuntimeError(f"the device under test answered wrongly or not at all: {found}")
        return found["received"] / found["seconds"] / 1e3, used / found["received"] / 1e3

    def send(self, **trial: float) -> dict[str, Any]:
        """Have the load send as `Load.trial` says, and return what it found."""
        assert self._load.stdin is not None
        self._load.stdin.write(json.dumps(trial) + "\n")
        self._load.stdin.flush()
        return json.loads(answer(self._load))

    def moderate(self, on: bool) -> None:
        """Have interrupts put off while a side is busy, which is how it begins, or not."""
        values = MODERATION if on else dict.fromkeys(MODERATION, 0)
        for space, name in ((self.gateway, "g0"), (self.device, "d0")):
            write_sysfs(space, name, values)

    def close(self) -> None:
        """End every program and forget the namespaces."""
        self.undo.close()


def end(program: subprocess.Popen[str]) -> None:
    """Close its input, wait, and insist."""
    if program.stdin and not program.stdin.closed:
        with contextlib.suppress(BrokenPipeError):
            program.stdin.close()
    try:
        program.wait(3)
    except subprocess.TimeoutExpired:
        program.terminate()
        try:
            program.wait(3)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def answer(program: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise RuntimeError(f"{program.args} ended with {program.wait()}")
    return line


def ready(program: subprocess.Popen[str]) -> None:
    """Wait until it says so."""
    if answer(program).strip() != "ready":
        raise RuntimeError(f"{program.args} said something else than ready")


def prepare(space: int, name: str, mac: bytes) -> None:
    """Give an end its MAC address, MTU, no neighbour to ask for, and threaded NAPI with deferred interrupts."""
    with namespaces.inside(space):
        peer_mac, peer = ((load.DEVICE_MAC, load.DEVICE) if mac == load.GATEWAY_MAC else (load.GATEWAY_MAC, load.GATEWAY))
        with IPRoute() as ip:
            index = ip.link_lookup(ifname=name)[0]
            ip.link("set", index=index, address=text(mac), mtu=MTU)
            ip.neigh("replace", dst=peer, lladdr=text(peer_mac), ifindex=index, state=0x80)      # NUD_PERMANENT
        offload(name, ETHTOOL_SGRO, 1)
        offload(name, ETHTOOL_STSO, 0)
    write_sysfs(space, name, {"threaded": 1, **MODERATION})


def offload(name: str, command: int, value: int) -> None:
    """Switch an offload of an interface of this namespace; with ETHTOOL_SGRO a veth end has a NAPI context."""
    switch = ctypes.create_string_buffer(struct.pack("=II", command, value), 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", name.encode(), ctypes.addressof(switch)).ljust(40, b"\0"))


def text(mac: bytes) -> str:
    """With colons."""
    return mac.hex(":")


def write_sysfs(space: int, name: str, values: dict[str, int]) -> None:
    """Write attributes of an interface: in a child, whose /sys shows the namespace."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _libc.setns(space, CLONE_NEWNET)
            _libc.unshare(CLONE_NEWNS)
            _libc.mount(b"none", b"/", None, MS_PRIVATE_ALL, None)
            _libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
            for attribute, value in values.items():
                Path(f"/sys/class/net/{name}/{attribute}").write_text(str(value))
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"the attributes of {name} could not be written")


def napi_threads() -> dict[int, str]:
    """NAPI threads of the machine, by process number."""
    return {pid: name for pid, name in kernel_threads() if name.startswith("napi/")}


def softirq_threads() -> list[int]:
    """The thread that does the device core's overflow of soft interrupts."""
    return [pid for pid, name in kernel_threads() if name == f"ksoftirqd/{DEVICE_CORE}"]


def kernel_threads() -> Iterator[tuple[int, str]]:
    """Everything with a command name."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "comm").read_text().strip()


def tasks(pid: int) -> list[int]:
    """A process, its threads, its children and theirs."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found.append(int(task.name))
            for child in (task / "children").read_text().split():
                found += tasks(int(child))
    return found


def run_ns(threads: list[int]) -> int:
    """Nanoseconds that threads have run for."""
    total = 0
    for thread in threads:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{thread}/schedstat").read_text().split()[0])
    return total
