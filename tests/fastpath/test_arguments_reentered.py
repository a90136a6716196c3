"""An argument that runs code while it is converted: the call acts on what is there once all its arguments are converted.

`__index__` may do anything: here it changes the arrays, the batch and the table of the very call that asks for the number. What
the call then does must be what it does when they were changed before it: what was looked at too early would be stale.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from argument_calls import CALLS, module_of
from argument_calls.call import Made
from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowTable
from fastpath.fragments import FragmentTable
from fastpath.portidle import PortIdle
from model.arguments import Number


class Sly:
    """An int that does something when it is asked for."""

    def __init__(self, value: int, deed: Any) -> None:
        self.value, self.deed = value, deed

    def __index__(self) -> int:
        self.deed()
        return self.value


ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def change(made: Made) -> None:
    """What a call stands on is taken away."""
    for value in made.arguments.values():
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value[...] = np.iinfo(value.dtype).max
        if isinstance(value, PacketBatch):
            value.count = 0
    for table in (getattr(made.function, "__self__", None), *made.arguments.values()):
        if isinstance(table, FlowTable):
            table.expire((1 << 64) - 1)
        if isinstance(table, FragmentTable):
            table.follow_one(0)


def outcome(made: Made, arguments: dict[str, Any]) -> Any:
    try:
        done = made.function(**arguments)
        done = ADDRESS.sub("", repr(done)) if type(done).__repr__ is not object.__repr__ else type(done)
    except (TypeError, ValueError, IndexError) as error:
        done = type(error)
    arrays = [value.tobytes() for value in arguments.values() if isinstance(value, np.ndarray)]
    return done, arrays, made.watched() if made.watched else None


NUMBERS = [(name, argument) for name, call in CALLS.items() if call.works
           for argument, kind in call.kinds.items() if isinstance(kind, Number)]


@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_a_call_acts_on_what_is_there_when_all_is_converted(name: str, argument: str) -> None:
    before, during = (CALLS[name].make(module_of(name)) for _ in range(2))
    sly = Sly(int(during.arguments[argument]), lambda: change(during))
    found = outcome(during, during.arguments | {argument: sly})
    change(before)
    assert found == outcome(before, before.arguments)


class Turning(Mapping):
    """A mapping that says another thing when it is asked again."""

    def __init__(self, *answers: dict[Any, Any]) -> None:
        self.answers = list(answers)

    def __getitem__(self, key: Any) -> Any:
        return self.answers[0][key]

    def __iter__(self) -> Any:
        return iter(self.answers[0])

    def __len__(self) -> int:
        return 1

    def items(self) -> Any:
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]).items()


class Twice:
    """A number that is another one when it is asked for again."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def __index__(self) -> int:
        return self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]


def test_idle_times_are_read_once() -> None:
    for idle in (Turning({3: 1.0}, {1 << 20: 1.0}), {Twice(3, 1 << 20): 1.0}):
        table = FlowTable(8, idle=idle)
        assert table.insert_keys(np.zeros((1, 40), np.uint8), np.zeros(1, np.uint64), 1, 3, np.zeros(1, np.int32)) == 1
        assert table.expire(1_000_000_000) == 0 and table.expire(1_000_000_002) == 1


def test_a_flow_that_waits_here_is_none_of_a_smaller_table() -> None:
    idle, out = PortIdle(4096, [(17, 53, 53, 1.0)]), np.zeros(4, np.int32)
    large, small = FlowTable(4096), FlowTable(1)
    keys = np.zeros((4096, 40), np.uint8)
    keys[:, 0], keys[:, 1] = np.arange(4096) & 0xFF, np.arange(4096) >> 8
    large.insert_keys(keys, np.arange(4096, dtype=np.uint64) << np.uint64(40), 1, 3, np.zeros(4096, np.int32))
    idle.enter_one(large, 4095, 17, 53, 1)
    assert idle.due_flows(small, 1 << 62, out) == 0
