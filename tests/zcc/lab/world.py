"""Programs for test_namespaces, run as `python world.py NAME …` in a process of their own.

Each makes a world and acts in it.
"""

import sys
import time
from pathlib import Path

from zcc.lab import kernel, namespaces, network
from zcc.lab.host import Host
from zcc.lab.topology import Interface, Machine, Route, Topology

ECHO_REQUEST = str(Path(__file__).with_name("echo_request.py"))


def three_hosts() -> dict[str, Host]:
    """Two hosts with a router between them, IPv4 and IPv6."""
    topology = Topology(
        {"left": 9001, "right": 1500},
        (
            Machine(
                "a",
                "",
                (Interface("eth0", "left", ("10.0.1.2/24", "fd00:1::2/64")),),
                (Route("0.0.0.0/0", "10.0.1.1"), Route("::/0", "fd00:1::1")),
            ),
            Machine(
                "router",
                "",
                (
                    Interface("left", "left", ("10.0.1.1/24", "fd00:1::1/64")),
                    Interface("right", "right", ("10.0.2.1/24", "fd00:2::1/64")),
                ),
                forwards=True,
            ),
            Machine(
                "b",
                "",
                (Interface("eth0", "right", ("10.0.2.2/24", "fd00:2::2/64")),),
                (Route("0.0.0.0/0", "10.0.2.1"), Route("::/0", "fd00:2::1")),
            ),
        ),
    )
    return network.build(
        topology, namespaces.state_directory(), {"/etc/resolv.conf": "nameserver 192.0.2.53\n"}
    )


def ping() -> int:
    """Exit 0 when a reaches b through the router and sees its own resolv.conf."""
    a = three_hosts()["a"]
    reached = [
        a.run([sys.executable, ECHO_REQUEST, address], limit_s=10).returncode
        for address in ("10.0.2.2", "fd00:2::2")
    ]
    seen = a.run(["cat", "/etc/resolv.conf"], limit_s=5).stdout
    return 0 if reached == [0, 0] and seen == b"nameserver 192.0.2.53\n" else 1


def linger(pipe: int) -> int:
    """Start programs that hold `pipe`, say so through it, and stay."""
    hosts = three_hosts()
    for host in hosts.values():
        host.start(["sleep", "1000"], pass_fds=[pipe])
    with open(pipe, "wb", closefd=False) as out:
        out.write(b"up\n")
    # In short rests: a signal that comes after Python's last look and before a rest begins only ends the next.
    for _ in range(10_000):
        time.sleep(0.1)
    return 1


def status(number: int) -> int:
    """Return `number`."""
    return number


def crash() -> int:
    """End by an exception."""
    raise RuntimeError("as the test wants")


def main() -> None:
    """Run the program that argv names in a world; 77 = namespaces are forbidden here, with the reason."""
    name, arguments = sys.argv[1], [int(word) for word in sys.argv[2:]]
    try:
        code = namespaces.isolate(
            lambda: {"ping": ping, "linger": linger, "status": status, "crash": crash}[name](*arguments)
        )
    except namespaces.IsolationRefused as error:
        print(error)
        code = 77
    sys.exit(code)


if __name__ == "__main__":
    assert kernel.CLONE_NEWNET
    main()
