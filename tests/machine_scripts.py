"""Sequences of calls that the state machines play in every run, beside those that hypothesis draws.

Each is a way a table could go wrong. A step is (rule, arguments by position); after it the machine's invariant is looked at.

A seed of a prefix is (length, high, low): see the machine of test_lpm.
"""

import ipaddress
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

Steps = list[tuple[Any, ...]]


def play(machine: type[RuleBasedStateMachine], invariant: str, steps: Steps) -> None:
    """Take the steps, and look at the invariant after each."""
    playing = machine()
    for name, *arguments in steps:
        getattr(playing, name)(*arguments)
        getattr(playing, invariant)()
    playing.teardown()


def mapped(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + ipaddress.ip_address(text).packed


LOCAL, OTHER, REMOTE, FAR = (mapped(text) for text in ("192.0.2.1", "203.0.113.9", "198.51.100.7", "203.0.113.1"))

LPM: dict[str, Steps] = {
    "the default comes and goes": [
        ("start", 3), ("insert", (0, 0, 0), 1), ("insert", (0, 0, 0), 2), ("remove", (0, 0, 0)), ("remove", (0, 0, 0)),
        ("reclaim",), ("insert", (0, 0, 0), 0), ("replace", [], 1), ("reclaim",)],
    "one inside the other, gone from the inside": [
        ("start", 0), *(("insert", (length, 20, 77), length % 6) for length in range(129)),
        *(("remove", (length, 20, 77)) for length in range(128, -1, -1)), ("reclaim",)],
    "one inside the other, gone from the outside": [
        ("start", 1), *(("insert", (length, 41, 16383), length % 5) for length in range(128, -1, -1)),
        *(("remove", (length, 41, 16383)) for length in range(129)), ("reclaim",)],
    "neighbours at the edges of a table's steps": [
        ("start", 0), *(("insert", (length, high, low), (length + high) % 6)
                        for length in (15, 16, 17, 23, 24, 25, 31, 32) for high in (0, 31, 63) for low in (0, 1, 16384)),
        *(("remove", (length, high, low)) for length in (24, 16, 32, 25) for high in (63, 0) for low in (1, 16384)),
        ("reclaim",)],
    "the same value above and below, then another": [
        ("start", 4), ("insert", (8, 5, 0), 4), ("insert", (16, 5, 9), 4), ("insert", (24, 5, 9), 4),
        ("insert", (32, 5, 9), 4),
        ("insert", (16, 5, 9), 1), ("remove", (24, 5, 9)), ("insert", (8, 5, 0), 2), ("remove", (32, 5, 9)),
        ("remove", (16, 5, 9))],
    "replaced while full, and filled again": [
        ("start", 0), ("replace", [(length, high, 5) for length in range(8, 33, 3) for high in range(0, 64, 9)], 3),
        ("replace", [(length, high, 6) for length in range(9, 33, 4) for high in range(1, 64, 7)], 2), ("reclaim",),
        *(("remove_one_that_is_there", number) for number in range(40)), ("replace", [], 0), ("insert", (32, 63, 16384), 5),
        ("reclaim",)],
}

TCP, UDP, ICMP, GRE = 6, 17, 1, 47
SYN, RST, FIN_ACK, SYN_ACK = 2, 4, 17, 18
FLOWS: dict[str, Steps] = {
    "one slot for two flows": [
        ("start", 1, 1 << 64), ("packets", [1], UDP, 0, 0, 0), ("packets", [2], UDP, 0, 0, 1),
        ("packets", [1, 2, 1], UDP, 0, 0, 1),
        ("pin", 1, UDP, True), ("packets", [3], UDP, 0, 0, 1), ("pin", 1, UDP, False), ("packets", [3], UDP, 0, 0, 1)],
    "all keys in one bucket": [
        ("start", 12, 1), ("packets", [0, 1, 2, 3, 4, 5, 6, 7], UDP, 0, 0, 1),
        ("packets", [8, 9, 10, 11, 12, 13], UDP, 0, 0, 1),
        ("remove", 3, UDP), ("remove", 9, UDP), ("packets", [3, 14, 15], UDP, 0, 0, 1), ("remove_many", list(range(12))),
        ("packets", list(range(8)), UDP, 1, 0, 1), ("expire", 60)],
    "an answered flow outlives a flood": [
        ("start", 4, 3), ("packets", [1], UDP, 0, 0, 1), ("packets", [1], UDP, 1, 0, 1),
        *(("packets", [number % 13 + 2], UDP, 0, 0, 1) for number in range(30)), ("packets", [1], UDP, 0, 0, 1)],
    "a connection from its first to its last segment": [
        ("start", 8, 3), ("packets", [1], TCP, 0, SYN, 1), ("packets", [1], TCP, 1, SYN_ACK, 1),
        ("packets", [1, 1], TCP, 0, 16, 1),
        ("expire", 30), ("packets", [1], TCP, 0, FIN_ACK, 1), ("packets", [1], TCP, 1, FIN_ACK, 1),
        ("packets", [1], TCP, 0, SYN, 1),
        ("packets", [1], TCP, 1, RST, 1), ("expire", 60)],
    "due at the very moment and one later": [
        ("start", 6, 1 << 64), ("packets", [1, 2], UDP, 0, 0, 0), ("expire", 20), ("expire", 1),
        ("packets", [1, 2], GRE, 0, 0, 0),
        ("touch", 1, GRE, 3), ("touch", 2, GRE, 0), ("expire", 21), ("expire", 60)],
    "by rows and by keys": [
        ("start", 5, 3), ("keys", [1, 1, 2, 3], 1, 3), ("packets", [3, 4, 5], UDP, 0, 0, 0), ("keys", [6, 7, 8, 1], 0, 0),
        ("keys", [6, 7, 8, 1], 5, 0), ("remove_many", [6, 6, 7]), ("keys", [], 1, 0), ("pin", 8, UDP, True),
        ("keys", [9] * 8, 1, 5)],
}

NAT: dict[str, Steps] = {
    "one port, one binding": [
        ("start", 1, 1, 0), ("bind", (TCP, LOCAL, REMOTE, 1), 0, 1), ("bind", (TCP, LOCAL, REMOTE, 1), 0, 2),
        ("bind", (UDP, LOCAL, REMOTE, 1), 0, 3), ("release", (TCP, LOCAL, REMOTE, 1), 0),
        ("bind", (UDP, LOCAL, REMOTE, 1), 0, 4),
        ("release", (TCP, LOCAL, REMOTE, 1), 0)],
    "all ports in vain, until one is free": [
        ("start", 12, 65530, 5), *(("bind", (TCP, LOCAL, REMOTE, 1), 3, flow) for flow in range(7)),
        ("bind", (TCP, LOCAL, FAR, 1), 3, 7), ("release", (TCP, LOCAL, REMOTE, 1), 2),
        ("bind", (TCP, LOCAL, REMOTE, 1), 6, 8),
        ("bind", (TCP, LOCAL, REMOTE, 1), -1, 9)],
    "the wanted port below and above the range": [
        ("start", 6, 1, 3), ("bind", (UDP, OTHER, FAR, 2), -1, 0), ("bind", (UDP, OTHER, FAR, 2), 6, 1),
        ("bind", (UDP, OTHER, FAR, 2), 3, 2), ("release", (UDP, OTHER, FAR, 2), 0)],
    "a full table by rows": [
        ("start", 4, 100, 5), ("bind_rows", [((TCP, LOCAL, REMOTE, 1), 0)] * 3 + [((ICMP, LOCAL, FAR, 2), 1)] * 3, 5),
        ("find_rows", [((TCP, LOCAL, REMOTE, 1), 0), ((ICMP, LOCAL, FAR, 0), 1), ((UDP, OTHER, FAR, 2), 4)]),
        ("release", (ICMP, LOCAL, FAR, 0), 1), ("bind_rows", [((58, OTHER, REMOTE, 1), 5)], 9), ("bind_rows", [], 0)],
    "bound and released until every slot was used twice": [
        ("start", 3, 7, 2), *(step for turn in range(8) for step in (
            ("bind", (TCP, LOCAL, REMOTE, turn % 3), turn % 3, turn), ("bind", (UDP, OTHER, FAR, turn % 2), 1, turn + 90),
            ("release", (TCP, LOCAL, REMOTE, turn % 3), turn % 3)))],
}
