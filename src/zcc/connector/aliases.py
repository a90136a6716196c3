"""Aliases: lets the connector's own sockets speak as a workload.

Journey: DNS over TCP ends here, and what is not ours to answer is asked of the workload's server in the
workload's name: a socket bound to the workload's alias, into the device, where the worker takes it for
that workload's flow.

An alias is no address of this host, or the listeners' packets to it would never reach the device. So a socket
binds it by IP_TRANSPARENT, and one routing rule makes what comes out of the device for an alias local:

    rule  from all iif zcc0 lookup 23123
    table 23123:  local 198.18.0.0/16 dev zcc0

Source: ip(7), ip-rule(8). Needs CAP_NET_ADMIN, as the device does. It does not know workloads or flows.
"""

import errno
import logging
import socket
import threading
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from zcc.errors import DeviceError

TABLE = 23_123
PRIORITY = 23_123
IP_TRANSPARENT = 19  # linux/in.h
RTN_LOCAL = "local"
RT_SCOPE_HOST = 254  # linux/rtnetlink.h

log = logging.getLogger(__name__)


class Aliases:
    """The rule and the route, made by `open`, and sockets that use them."""

    def __init__(self, device: str, internal: IPv4Network) -> None:
        """Prepare.

        Args:
            device: the kernel's interface, up.
            internal: network of the aliases.
        """
        self._device = device
        self._internal = internal

    def open(self) -> None:
        """Make rule and route; those of a run that crashed are taken over. Blocks for milliseconds.

        Raises:
            DeviceError: the kernel refuses.
        """
        self._with_netlink(self._make)

    def close(self) -> None:
        """Remove the rule; the route goes with the device. Again is no error."""
        try:
            self._with_netlink(self._remove)
        except DeviceError as error:
            log.warning("%s", error)

    def socket(self, alias: IPv4Address, port: int = 0) -> socket.socket:
        """Make a TCP socket that speaks as an alias, not blocking, not yet connected.

        Args:
            port: source port; 0 = the kernel chooses.
        Raises:
            OSError: the port is taken, or the capability is missing.
        """
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._device.encode() + b"\0")
            made.bind((str(alias), port))
        except BaseException:
            made.close()
            raise
        return made

    def _make(self, ip: Any) -> None:
        (index,) = ip.link_lookup(ifname=self._device)
        ip.route(
            "replace", dst=str(self._internal), oif=index, table=TABLE, type=RTN_LOCAL, scope=RT_SCOPE_HOST
        )
        try:
            ip.rule("add", table=TABLE, iifname=self._device, priority=PRIORITY)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise

    def _remove(self, ip: Any) -> None:
        try:
            ip.rule("del", table=TABLE, iifname=self._device, priority=PRIORITY)
        except NetlinkError as error:
            if error.code not in (errno.ENOENT, errno.ESRCH):
                raise

    def _with_netlink(self, work: Callable[[Any], None]) -> None:
        """Run work(IPRoute) and wait; in a thread, since pyroute2 refuses where an event loop runs."""
        failure: list[Exception] = []

        def run() -> None:
            try:
                with IPRoute() as ip:
                    work(ip)
            except Exception as error:
                failure.append(error)

        thread = threading.Thread(target=run, name="aliases")
        thread.start()
        thread.join()
        if failure:
            raise DeviceError(
                f"the kernel refuses the route of {self._internal} on {self._device}: {failure[0]}; "
                "run with CAP_NET_ADMIN, or in a user namespace of its own"
            ) from failure[0]
