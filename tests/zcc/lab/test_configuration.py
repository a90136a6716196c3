"""What the lab writes is what the daemons take, and its plan holds together."""

from ipaddress import ip_interface
from pathlib import Path

import pytest
import yaml

from zcc.config import parse, validate
from zcc.document import read_document
from zcc.lab import configuration
from zcc.lab import topology as plan
from zcc.lab.emulator.settings import GwlbSettings
from zcc.lab.scenarios.table import SCENARIOS


@pytest.mark.parametrize("name", [name for name, role in configuration.ROLES.items() if role != "gwlb"])
def test_every_daemon_takes_its_file(name: str) -> None:
    settings = configuration.of_daemon(name, Path("/srv"))
    assert parse(yaml.safe_dump(settings).encode(), f"{name}.yaml", configuration.ROLES[name])


def test_the_load_balancer_takes_its_file() -> None:
    text = yaml.safe_dump(configuration.of_daemon("gwlb", Path("/srv"))).encode()
    settings = validate(read_document(text, "gwlb.yaml"), GwlbSettings)
    assert isinstance(settings, GwlbSettings)
    assert len(settings.endpoints) == len(plan.COMPANIES)


@pytest.mark.parametrize("field", ["endpoints", "targets"])
def test_an_endpoint_or_target_given_twice_is_refused(field: str) -> None:
    settings = configuration.of_daemon("gwlb", Path("/srv"))
    settings[field] = [settings[field][0]] * 2
    with pytest.raises(ValueError, match="once only"):
        GwlbSettings.model_validate(settings)


def test_every_network_has_at_least_two_ends_and_every_end_a_network() -> None:
    topology = plan.build()
    ends = [interface.network for machine in topology.machines for interface in machine.interfaces]
    assert set(ends) == set(topology.networks)
    assert all(ends.count(network) >= 2 for network in topology.networks)


def test_both_companies_have_the_same_addresses() -> None:
    machines = {machine.name: machine for machine in plan.build().machines}
    for part in ("workload", "peer"):
        one, two = (machines[f"{part}-{company}"].interfaces[0].addresses for company in plan.COMPANIES)
        assert one == two


def test_no_address_occurs_twice_on_one_network() -> None:
    seen = [
        (interface.network, ip_interface(address).ip)
        for machine in plan.build().machines
        for interface in machine.interfaces
        for address in interface.addresses
    ]
    assert len(seen) == len(set(seen))


def test_interface_names_fit_the_kernel() -> None:
    names = [interface.name for machine in plan.build().machines for interface in machine.interfaces]
    assert all(len(name) <= 15 for name in names)


def test_rows_have_names_of_their_own_and_known_daemons() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))
    assert {name for scenario in SCENARIOS for name in scenario.daemons} <= configuration.ROLES.keys()
