"""What one connector learned goes to its group: whom it reaches, how long it waits, what it leaves behind."""

import asyncio
from ipaddress import IPv4Address

from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.messages import Claimed, Learned, Noted
from zcc.private_edge import sharing
from zcc.private_edge.opening import Agent
from zcc.private_edge.sharing import Sharing

LEARNED = Learned(id=77, namespace="co1", name="www.example", addresses=(IPv4Address("192.0.2.1"),), ttl=60)


class FakeControl:
    """A connector's control stream: what it was told, and what it does then."""

    def __init__(self, hub, *, answers=True, gone=False):
        self.told = []
        self._hub, self._answers, self._gone = hub, answers, gone

    async def send(self, message):
        await asyncio.sleep(0)
        if self._gone:
            raise StreamGone("left")
        self.told.append(message)
        if self._answers and isinstance(message, Learned):
            self._hub.noted(Noted(id=message.id))
            self._hub.noted(Noted(id=message.id))        # twice is no error


def member(hub, name, group="g1", **manners):
    control = FakeControl(hub, **manners)
    hub.join(Agent("connector", name, group), control)
    return control


def share(hub, control, group="g1"):
    asyncio.run(asyncio.wait_for(hub.share(Agent("connector", "cc-1", group), control, LEARNED), 5))


def test_others_of_the_group_are_told_first_then_the_origin_under_its_own_number():
    hub = Sharing()
    origin, other, stranger = member(hub, "cc-1"), member(hub, "cc-2"), member(hub, "cc-3", "g2")
    share(hub, origin)
    assert [(m.name, m.addresses) for m in other.told] == [(LEARNED.name, LEARNED.addresses)]
    assert origin.told == [Noted(id=77)]
    assert stranger.told == []


def test_connector_that_never_answers_holds_nobody_up_for_ever(monkeypatch):
    monkeypatch.setattr(sharing, "SHARE_S", 0.01)
    hub = Sharing()
    origin, silent, other = member(hub, "cc-1"), member(hub, "cc-2", answers=False), member(hub, "cc-3")
    share(hub, origin)
    assert len(silent.told) == len(other.told) == 1
    assert origin.told == [Noted(id=77)]
    hub.noted(Noted(id=1))      # too late
    hub.noted(Noted(id=999))    # of nothing


def test_connector_that_has_gone_is_passed_over():
    hub = Sharing()
    origin, gone, other = member(hub, "cc-1"), member(hub, "cc-2", gone=True), member(hub, "cc-3")
    share(hub, origin)
    assert (gone.told, len(other.told), origin.told) == ([], 1, [Noted(id=77)])


def test_connector_that_left_is_not_told_and_may_leave_again():
    hub = Sharing()
    origin, other = member(hub, "cc-1"), member(hub, "cc-2")
    for _ in range(2):
        hub.leave(Agent("connector", "cc-2", "g1"), other)
    share(hub, origin)
    assert other.told == []


def test_connector_alone_in_its_group_is_answered_at_once():
    hub = Sharing()
    origin = member(hub, "cc-1")
    share(hub, origin)
    assert origin.told == [Noted(id=77)]


def test_a_claim_goes_to_those_of_the_group_that_take_claims_and_nobody_answers(monkeypatch):
    monkeypatch.setattr(sharing, "SHARE_S", 0.2)
    hub, claimed = Sharing(), Claimed(namespace="co1", address=IPv4Address("192.0.2.1"), name="www.example", how="sni")
    origin, older, stranger = member(hub, "cc-1"), member(hub, "cc-4"), member(hub, "cc-3", "g2")
    other, gone = FakeControl(hub), FakeControl(hub, gone=True)
    for name, control in (("cc-2", other), ("cc-5", gone)):
        hub.join(Agent("connector", name, "g1", claims=True), control)
    asyncio.run(asyncio.wait_for(hub.pass_on(Agent("connector", "cc-1", "g1"), origin, claimed), 5))
    assert other.told == [claimed] and origin.told == older.told == stranger.told == gone.told == []
