"""What a right call of a function is, and how the calls are collected."""

import importlib
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastpath import batch, packet
from inner_packets import udp
from model import bitmaps, classify, domains, flowtable, nat
from model.arguments import Array, Instance, Number, Octets

INT, SHORT, WORD, LONG = (1 << 31) - 1, (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1
SEED = bytes(range(32))
MODELS = {"bitmaps": bitmaps, "classify": classify, "domains": domains, "flowtable": flowtable, "nat": nat, "rewrite": nat}
TIME, PORT = Number(0, LONG), Number(0, SHORT)


@dataclass
class Spared:
    """What may be None, which is a default."""

    kind: Any

    def wrong(self, right: Any) -> Any:
        return [(what, value) for what, value in self.kind.wrong(right) if what != "None"]


@dataclass
class Made:
    """A function with arguments that it takes; `watched` tells what its table holds."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    watched: Callable[[], Any] | None = None


@dataclass
class Call:
    """`make` gives it for a module, compiled or model. `kinds` of the arguments that are tried; `other` ones are tried
    elsewhere; `works`: can be done here.
    """

    make: Callable[[Any], Made]
    kinds: dict[str, Any]
    other: frozenset[str] = frozenset()
    works: bool = True


@dataclass
class Table:
    """Collects calls; `call` adds one."""

    calls: dict[str, Call] = field(default_factory=dict)

    def call(self, name: str, right: dict[str, Any], kinds: dict[str, Any], on: Callable[[Any], Any] | None = None,
             watched: Callable[[Any], Any] = len, works: bool = True) -> None:  # fmt: skip
        """`right` holds values, or functions that make one; `on` makes the object of a module that has the method."""

        def make(module: Any) -> Made:
            arguments = {key: value() if callable(value) else value for key, value in right.items()}
            if on is None:
                return Made(operator.attrgetter(name.partition(".")[2])(module), arguments)
            holder = on(module)
            return Made(getattr(holder, name.rpartition(".")[2]), arguments, lambda: watched(holder))

        self.calls[name] = Call(make, kinds, frozenset(right) - frozenset(kinds), works)


def module_of(name: str) -> Any:
    """The compiled module of a call."""
    return importlib.import_module(f"fastpath.{name.partition('.')[0]}")


def model_of(name: str) -> Any:
    """The model that declares what the function of this name takes, if there is one."""
    module, _, path = name.partition(".")
    found = MODELS.get(module)
    try:
        return found if found and hasattr(operator.attrgetter(path)(found), "kinds") else None
    except AttributeError:
        return None


def rows_in() -> batch.PacketBatch:
    """Four UDP packets, parsed."""
    return rows_of(*[udp("10.0.0.1", "192.0.2.9", 9, 53, bytes(12))] * 4)


def rows_of(*packets: bytes) -> batch.PacketBatch:
    """Packets of a workload, parsed."""
    made = batch.PacketBatch(4, 512)
    made.load(packets)
    made.inner_start[:], made.inner_length[:] = made.start, made.length
    packet.parse_batch(made)
    return made


def array(dtype: type, *shape: int) -> Callable[[], Any]:
    return lambda: np.zeros(shape, dtype)


T = Table()
BATCH = {"batch": Instance()}
ROWS = {"rows": Array(np.uint16, sized=False)}
NAMED = {"namespace": PORT, "address": Octets(16)}
RIGHT_NAMED = {"namespace": 1, "address": bytes(16)}
