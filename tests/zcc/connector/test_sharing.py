"""Names shared by a group: told before the answer leaves, put in force when heard, within bounds."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest
from tests.zcc.connector.fakes import FakeDatapath, FakeNames

from zcc.connector import sharing
from zcc.connector.sharing import Sharing
from zcc.connector.teaching import Teacher
from zcc.dns.learning import Learned
from zcc.mtunnel import messages
from zcc.mtunnel.errors import EdgeDown

ADDRESS = ip_address("192.0.2.7")


class FakeEdge:
    """Writes down what it was told, or fails, or never answers."""

    def __init__(self, failure=None, *, silent=False):
        self.told, self._failure, self._silent = [], failure, silent

    async def share(self, namespace, name, addresses, ttl):
        if self._failure:
            raise self._failure
        if self._silent:
            await asyncio.Event().wait()
        self.told.append((namespace, name, tuple(addresses), ttl))


def made(edge, **bounds):
    path = FakeDatapath()
    teacher = Teacher(path, FakeNames(), lambda name: name == "www.example", [ip_network("10.254.0.0/19")])
    return Sharing(edge, teacher, {1: "co1"}, **bounds), path


def learned(name="www.example", addresses=(ADDRESS,)):
    return Learned(1, (name, 1, 1), 0, (name,), tuple(addresses), 60)


def heard(namespace="co1", name="www.example", address=ADDRESS, ttl=60):
    return messages.Learned(id=5, namespace=namespace, name=name, addresses=(address,), ttl=ttl)


def test_only_names_of_rules_with_addresses_concern_the_group():
    share, _ = made(FakeEdge())
    assert share.concerns(learned()) == "www.example"
    assert share.concerns(learned("other.example")) is None
    assert share.concerns(learned(addresses=())) is None
    assert share.concerns(learned("portal.corp.example")) is None


def test_group_is_told_under_the_name_of_the_namespace():
    edge = FakeEdge()
    share, _ = made(edge)
    asyncio.run(share.tell(1, "www.example", learned()))
    assert edge.told == [("co1", "www.example", (ADDRESS,), 60)]


@pytest.mark.parametrize("edge", [FakeEdge(EdgeDown("none")), FakeEdge(silent=True)], ids=["down", "silent"])
def test_edge_that_does_not_answer_holds_the_answer_up_for_a_bounded_time(edge, monkeypatch):
    monkeypatch.setattr(sharing, "PATIENCE_S", 0.01)
    share, _ = made(edge)
    asyncio.run(asyncio.wait_for(share.tell(1, "www.example", learned()), 5))
    assert share.counts["untold"] == 1


def test_what_another_learned_is_in_force_here():
    share, path = made(FakeEdge())
    share.hear(heard())
    assert path.said == [("learn", 1, str(ADDRESS), 1, 60.0)]


def test_peer_names_neither_pool_addresses_nor_unknown_namespaces_nor_applications():
    share, path = made(FakeEdge())
    share.hear(heard(address=ip_address("10.254.0.9")))
    share.hear(heard(namespace="co9"))
    share.hear(heard(name="portal.corp.example"))
    assert path.said == []
    assert share.counts["namespace_unknown"] == 1


def test_peer_can_not_make_a_name_last_longer_than_our_own_ceiling():
    share, path = made(FakeEdge(), ceiling_s=3600)
    share.hear(heard(ttl=0x7FFF_FFFF))
    assert path.said[0][-1] == 3600
