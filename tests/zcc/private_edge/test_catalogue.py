"""zcc.private_edge.catalogue: the most specific domain wins, namespaces keep companies apart."""

import pytest

from zcc.private_edge.catalogue import Catalogue
from zcc.private_edge.settings import EdgeApplication


def application(name: str, *domains: str, tcp: tuple[object, ...] = (443,), udp: tuple[object, ...] = (),
                namespaces: tuple[str, ...] = ()) -> EdgeApplication:
    return EdgeApplication.model_validate({"name": name, "domains": domains, "tcp": tcp, "udp": udp,
                                           "namespaces": namespaces, "app_connector_group": "dc1"})


CATALOGUE = Catalogue([
    application("portal-1", "portal.corp.example", namespaces=("co1",)),
    application("portal-2", "portal.corp.example", namespaces=("co2",)),
    application("portal-ssh", "portal.corp.example", tcp=(22,), namespaces=("co1",)),
    application("deep", "*.deep.corp.example"),
    application("wild", "*.corp.example", tcp=("1-65535",), udp=(53,)),
])


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        ("co1", "portal.corp.example", "portal-1"),
        ("co2", "portal.corp.example", "portal-2"),
        ("co3", "portal.corp.example", "wild"),
        ("co1", "a.deep.corp.example", "deep"),
        ("co1", "deep.corp.example", "wild"),
        ("co1", "a.b.c.corp.example", "wild"),
        ("co1", "corp.example", None),
        ("co1", "notcorp.example", None),
        (None, "portal.corp.example", "portal-1"),
    ],
)
def test_covering(namespace: str | None, name: str, expected: str | None) -> None:
    found = CATALOGUE.covering(namespace, name)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("namespace", "name", "protocol", "port", "expected"),
    [
        ("co1", "portal.corp.example", "tcp", 443, "portal-1"),
        ("co1", "portal.corp.example", "tcp", 22, "portal-ssh"),
        ("co1", "portal.corp.example", "tcp", 80, None),
        ("co2", "portal.corp.example", "tcp", 22, None),
        ("co1", "x.corp.example", "udp", 53, "wild"),
        ("co1", "x.corp.example", "udp", 54, None),
    ],
)
def test_serving(namespace: str, name: str, protocol: str, port: int, expected: str | None) -> None:
    found = CATALOGUE.serving(namespace, name, protocol, port)
    assert (found.name if found else None) == expected


def test_spelled_out_is_not_covered_by_a_wildcard() -> None:
    assert CATALOGUE.spelled_out("portal.corp.example")
    assert not CATALOGUE.spelled_out("x.corp.example")
