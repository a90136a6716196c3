"""`zcc gwlb`: the load balancer's control loop around the forwarding thread.

Checks every target at its interval, hands each change to the thread, serves the status. One asyncio loop. It
decides nothing about packets.
"""

import asyncio
import logging
from ipaddress import IPv4Address

from zcc import notify
from zcc.errors import DeviceError, ListenError
from zcc.lab.emulator.forwarding import Forwarding
from zcc.lab.emulator.health import check
from zcc.lab.emulator.settings import GwlbSettings
from zcc.lab.emulator.status import Status
from zcc.lab.emulator.targets import State, Targets

log = logging.getLogger(__name__)


async def run(settings: GwlbSettings, *, stop: asyncio.Event) -> None:
    """Balance until `stop` is set.

    Raises:
        DeviceError: an interface cannot be opened, or forwarding ended by itself.
        ListenError: the Geneve port or the status address cannot be had.
    """
    loop = asyncio.get_running_loop()
    broken = asyncio.Event()

    def report_failure() -> None:
        loop.call_soon_threadsafe(broken.set)

    balancer = _Balancer(settings, Forwarding(settings, report_failure))
    server = await balancer.serve_status()
    balancer.forwarding.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(balancer.watch_all())
            notify.ready()
            waits = [tasks.create_task(stop.wait()), tasks.create_task(broken.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in (keeper, *waits):
                task.cancel()
    finally:
        notify.stopping()
        if server:
            server.close()
        balancer.forwarding.stop()
    if broken.is_set():
        raise DeviceError("the forwarding thread ended by an error; its log line above says which")


class _Balancer:
    """Targets, their checks, and what follows from a change."""

    def __init__(self, settings: GwlbSettings, forwarding: Forwarding) -> None:
        self._settings = settings
        self._watches: dict[IPv4Address, asyncio.Task[None]] = {}
        self.forwarding = forwarding
        addresses = tuple(target.address for target in settings.targets)
        self.targets = Targets(addresses, settings.health, rebalance=settings.rebalance)
        self._publish()

    async def serve_status(self) -> asyncio.Server | None:
        if self._settings.status is None:
            return None
        status = Status(
            self._settings,
            self.targets,
            self.forwarding,
            register=self._register,
            deregister=self._deregister,
        )
        try:
            return await status.serve(self._settings.status)
        except OSError as error:
            raise ListenError(
                f"status address {self._settings.status} cannot be had: {error.strerror}"
            ) from error

    async def watch_all(self) -> None:
        """Check all targets, each at its own pace, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                for address in list(self.targets.by_address):
                    if address not in self._watches:
                        self._watches[address] = group.create_task(self._watch(address))
                await asyncio.sleep(min(0.25, self._settings.health.interval.total_seconds()))
                if self.targets.finish_draining(asyncio.get_running_loop().time()):
                    self._publish()

    async def _watch(self, address: IPv4Address) -> None:
        while True:
            problem = await check(address, self._settings.health, self._settings.listen)
            if self.targets.note(address, problem):
                target = self.targets.by_address[address]
                level = logging.INFO if target.state is State.HEALTHY else logging.WARNING
                log.log(level, "target %s is %s: %s", address, target.state, target.reason)
                self._publish()
            await asyncio.sleep(self._settings.health.interval.total_seconds())

    def _register(self, address: IPv4Address) -> None:
        self.targets.register(address)
        self._publish()

    def _deregister(self, address: IPv4Address) -> None:
        delay_s = self._settings.deregistration_delay.total_seconds()
        self.targets.deregister(address, asyncio.get_running_loop().time() + delay_s)
        self._publish()

    def _publish(self) -> None:
        self.forwarding.choice = self.targets.choice()
