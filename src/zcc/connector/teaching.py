"""Teaching: what an answer says becomes what the data plane knows, within bounds.

Journey: `dns` and `dns_tcp` bring answers that were asked for; each address is learned under one name, so
that rules with names match the connection that follows. One thread, the event loop's.

Addresses of the pool and of the internal network are never taught: whoever runs a DNS server could name them.
Neither is an application's name: its address comes from the ledger only. Numbers of names never come back,
so names that no rule speaks of, which serve the log only, may take a bounded number of them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network

from zcc.connector.ports import Datapath, Names
from zcc.dns.learning import Address, Learned
from zcc.errors import ZccError

IDLE_NAMES_LIMIT = 65_536

log = logging.getLogger(__name__)


class Teacher:
    """Teaches the data plane which name an address belongs to."""

    def __init__(
        self,
        datapath: Datapath,
        names: Names,
        speaks_of: Callable[[str], bool],
        unlearnable: Sequence[IPv4Network],
    ) -> None:
        """Compose.

        Args:
            speaks_of: whether a rule names a name, by pattern or itself.
            unlearnable: networks that no answer may give a name to.
        """
        self.counts: Counter[str] = Counter()
        self._datapath = datapath
        self._names = names
        self._speaks_of = speaks_of
        self._unlearnable = tuple(unlearnable)
        self._idle_names: set[str] = set()

    def adopt(self, unlearnable: Sequence[IPv4Network]) -> None:
        """Go on with other networks that no answer may give a name to."""
        self._unlearnable = tuple(unlearnable)

    def teach(self, namespace: int, learned: Learned) -> tuple[Address, ...]:
        """Have the data plane learn an answer's addresses. Return those that it was told."""
        addresses = tuple(address for address in learned.addresses if self.may_have_a_name(address))
        number = self._number(learned.names) if addresses else 0
        if not number:
            return ()
        for address in addresses:
            self._datapath.learn(namespace, address, number, float(learned.ttl))
        self.counts["addresses"] += len(addresses)
        return addresses

    def may_be_said(self, name: str, address: Address) -> bool:
        """Say whether flows to an address may give it this name: one that rules speak of and no application owns."""
        return self._names.application_of(name) is None and self.may_have_a_name(address) and self._speaks_of(name)

    def spoken_of(self, learned: Learned) -> str | None:
        """Return the first name of an answer that a rule speaks of and no application owns; None = there is none."""
        free = (name for name in learned.names if self._names.application_of(name) is None)
        return next((name for name in free if self._speaks_of(name)), None)

    def _number(self, names: Sequence[str]) -> int:
        """Choose the first name of an alias chain that a rule speaks of: the one the operator meant."""
        free = [name for name in names if self._names.application_of(name) is None]
        name = next((name for name in free if self._speaks_of(name)), None)
        if name is None:
            if not free or not self._may_have_a_number(free[0]):
                return 0
            name = free[0]
        try:
            return self._names.id_of(name)
        except ZccError as error:
            self.counts["names_full"] += 1
            log.error("%s", error)
            return 0

    def _may_have_a_number(self, name: str) -> bool:
        if name in self._idle_names:
            return True
        if len(self._idle_names) >= IDLE_NAMES_LIMIT:
            self.counts["idle_names_full"] += 1
            return False
        self._idle_names.add(name)
        return True

    def may_have_a_name(self, address: Address) -> bool:
        """Say whether an address is none that only the ledger gives names to."""
        return address.version == 6 or not any(address in network for network in self._unlearnable)
