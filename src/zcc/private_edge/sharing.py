"""Sharing: what one connector learned of a name goes to the others of its group, before its workload has the answer.

    connector ─learned─▶ edge ─learned─▶ every other connector of the group ─noted─▶ edge ─noted─▶ connector
    connector ─claimed─▶ edge ─claimed─▶ every other connector of the group that takes claims

Journey: the broker hands over learned, noted and claimed. A load balancer sends a query and the connection that follows to
different connectors as often as not, so a rule about a name must hold at all of them. Bounded in time: a connector that does
not answer holds nobody up for longer than SHARE_S. The group is what the agent's hello says; only connectors of the tenant get
here. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools

from zcc.mtunnel.control import ControlChannel
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.messages import Claimed, Learned, Noted
from zcc.private_edge.opening import Agent

__all__ = ["Sharing"]

SHARE_S = 0.25


class Sharing:
    """The connectors by group, and what waits for them."""

    def __init__(self) -> None:
        self._members: dict[str, dict[ControlChannel, Agent]] = {}
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def join(self, agent: Agent, control: ControlChannel) -> None:
        """Take a connector into its group."""
        self._members.setdefault(agent.group, {})[control] = agent

    def leave(self, agent: Agent, control: ControlChannel) -> None:
        """Let it go; again is no error."""
        members = self._members.get(agent.group, {})
        members.pop(control, None)
        if not members:
            self._members.pop(agent.group, None)

    async def share(self, agent: Agent, control: ControlChannel, learned: Learned) -> None:
        """Tell the others of the group, then its origin.

        Raises:
            StreamGone: the origin is gone.
        """
        others = [other for other in self._members.get(agent.group, {}) if other is not control]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHARE_S):
                await asyncio.gather(*(self._tell(other, learned) for other in others))
        await control.send(Noted(id=learned.id))

    async def pass_on(self, agent: Agent, control: ControlChannel, claimed: Claimed) -> None:
        """Tell the others of the group what a flow has said; one that does not take it in time does not hear of it."""
        others = [other for other, of in self._members.get(agent.group, {}).items() if other is not control and of.claims]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHARE_S):
                await asyncio.gather(*(_say(other, claimed) for other in others))

    def noted(self, message: Noted) -> None:
        """Take a connector's word that a name is in force there."""
        waiter = self._waiting.get(message.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _tell(self, control: ControlChannel, learned: Learned) -> None:
        number = next(self._ids)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        try:
            await control.send(learned.model_copy(update={"id": number}))
            await waiter
        except StreamGone:
            pass  # it has left; its successor asks for what it needs
        finally:
            del self._waiting[number]


async def _say(control: ControlChannel, claimed: Claimed) -> None:
    with contextlib.suppress(StreamGone):
        await control.send(claimed)
