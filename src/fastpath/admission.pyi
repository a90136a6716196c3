from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final, final

from fastpath.alias import AliasTable
from fastpath.askers import AskerTable
from fastpath.classify import RuleSet
from fastpath.flowtable import FlowTable
from fastpath.fragments import FragmentTable
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.owned import OwnedNames
from fastpath.pools import Pools
from fastpath.portidle import PortIdle
from fastpath.ring import Ring
from fastpath.tunnels import Tunnels

MIDSTREAM: Final[tuple[str, ...]]

@final
class Admission:
    def __new__(
        cls,
        flows: FlowTable,
        nat: NatTable,
        names: NameTable,
        aliases: AliasTable,
        rules: RuleSet,
        tunnels: Tunnels,
        events: Ring,
        *,
        secret: bytes,
        pools: Iterable[IPv4Network],
        internal: IPv4Network,
        ports: tuple[int, int, int],
        egress: Iterable[IPv4Address | IPv6Address] = (),
        mtus: tuple[int, int] = (1400, 1500),
        owned: OwnedNames | None = None,
        fragments: FragmentTable | None = None,
        midstream: str = "adopt",
        port_idle: PortIdle | None = None,
        askers: AskerTable | None = None,
        records: Ring | None = None,
    ) -> Admission: ...
    @property
    def flows(self) -> FlowTable: ...
    @property
    def nat(self) -> NatTable: ...
    @property
    def names(self) -> NameTable: ...
    @property
    def aliases(self) -> AliasTable: ...
    @property
    def rules(self) -> RuleSet: ...
    @property
    def tunnels(self) -> Tunnels: ...
    @property
    def owned(self) -> OwnedNames: ...
    @property
    def pools(self) -> Pools: ...
    @property
    def events(self) -> Ring: ...
    @property
    def records(self) -> Ring: ...
    @property
    def fragments(self) -> FragmentTable: ...
    @property
    def port_idle(self) -> PortIdle: ...
    @property
    def askers(self) -> AskerTable: ...
    def exchange_rules(self, rules: RuleSet) -> None: ...
