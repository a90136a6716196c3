"""Inputs that once broke an invariant of zcc.mtunnel.session."""

from zcc.mtunnel.events import SessionEnded
from zcc.mtunnel.session import Session


def test_nothing_is_reported_after_the_end() -> None:
    # A window update that overflows the window and carries FIN.
    wire = bytes.fromhex("000100010000000500000000" "0001000400000005ffffffff")
    assert isinstance(Session(initiator=False).receive(wire)[-1], SessionEnded)
