"""What a wrong call does: FASTPATH_EINVAL, nothing written, whichever argument is NULL or too small."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .library import EINVAL, ENOENT, FUNCTIONS, OK, ffi, lib

SECOND = 1_000_000_000
MAY_BE_NULL = {("fastpath_flows_lookup_batch", "misses"), ("fastpath_flows_expire", "n")}
# They return no result: NULL is allowed, and answered by 0 or by doing nothing.
WITHOUT_RESULT = {
    "fastpath_api_version", "fastpath_version", "fastpath_strerror", "fastpath_checksum_update", "fastpath_lpm4_free",
    "fastpath_lpm6_free", "fastpath_flows_free", "fastpath_lpm4_size", "fastpath_lpm6_size", "fastpath_lpm4_bytes",
    "fastpath_lpm6_bytes", "fastpath_flows_size", "fastpath_flows_capacity", "fastpath_flows_bytes",
}


class World:
    """One of each thing that functions take."""

    def __init__(self) -> None:
        self.lpm4, self.lpm6, self.flows = (
            ffi.new(f"fastpath_{kind} **") for kind in ("lpm4", "lpm6", "flows")
        )
        self.idle = ffi.new("uint64_t[6]", [SECOND] * 6)
        assert lib.fastpath_lpm4_create(0, self.lpm4) == OK
        assert lib.fastpath_lpm6_create(0, self.lpm6) == OK
        assert lib.fastpath_flows_create(8, self.idle, 6, self.flows) == OK
        self.address = ffi.new("uint8_t[16]", bytes([0x20, 1, *bytes(14)]))
        self.value = ffi.new("uint32_t *", 77)
        self.key = ffi.new("struct fastpath_flow_key *")
        self.index = ffi.new("int32_t *", 77)
        self.packet = ffi.new("struct fastpath_packet *", {"ip_version": 4})
        self.geneve = ffi.new("struct fastpath_geneve *")
        self.gwlb = ffi.new("struct fastpath_gwlb *")
        self.option = ffi.new("struct fastpath_geneve_option *")
        self.flow = ffi.new("struct fastpath_flow *")
        self.number = ffi.new("size_t *", 0)
        self.data = ffi.new("uint8_t[128]")
        self.secret = ffi.new("uint8_t[32]", b"\x5a" * 32)
        self.header = ffi.new("uint8_t[40]")
        assert lib.fastpath_gwlb_encode(1, 2, 3, 4, self.header, 40) == OK
        assert lib.fastpath_lpm4_insert(self.lpm4[0], 10 << 24, 8, 5) == OK
        assert lib.fastpath_lpm6_insert(self.lpm6[0], self.address, 16, 5) == OK
        assert lib.fastpath_flows_insert(self.flows[0], self.key, 9, 0, 3, 1, self.index) == OK

    def arguments(self, function: str) -> dict[str, Any]:
        """Right arguments of a function, by name."""
        return self._of_table(function) or self._of_format(function) or self._of_flows(function)

    def _of_table(self, function: str) -> dict[str, Any]:
        family = function[9:13]
        if family not in ("lpm4", "lpm6"):
            return {}
        table = getattr(self, family)
        prefix = {"address": 10 << 24 if family == "lpm4" else self.address, "length": 8 if family == "lpm4" else 16}
        addresses = ffi.new("uint32_t[1]", [10 << 24]) if family == "lpm4" else self.address
        lengths, values = ffi.new("uint8_t[1]", [8 if family == "lpm4" else 16]), ffi.new("uint32_t[1]", [5])
        return {
            "create": {"fallback": 0, "table": ffi.new(f"fastpath_{family} **")},
            "insert": {"table": table[0], **prefix, "value": 5},
            "remove": {"table": table[0], **prefix},
            "exact": {"table": table[0], **prefix, "value": self.value},
            "build": {"table": table[0], "addresses": addresses, "lengths": lengths, "values": values, "n": 1},
            "lookup": {"table": table[0], "address": prefix["address"], "value": self.value},
            "lookup_batch": {"table": table[0], "addresses": addresses, "values": values, "n": 1},
            "reclaim": {"table": table[0]},
        }[function[14:]]

    def _of_format(self, function: str) -> dict[str, Any]:
        sized = {
            name: {name: value, f"{name}_size": ffi.sizeof(value[0])}
            for name, value in vars(self).items() if name in ("packet", "geneve", "gwlb", "option")
        }
        data, out = {"data": self.data, "size": 128}, {"out": self.data, "room": 128}
        header = {"header": self.header, "header_size": 40}
        return {
            "packet_parse": {**data, **sized["packet"]},
            "checksum": {**data, "checksum": ffi.new("uint16_t *")},
            "geneve_decode": {**data, **sized["geneve"]},
            "geneve_next_option": {"header": self.header, "size": 40, "offset": self.number, **sized["option"]},
            "geneve_encode": {**sized["geneve"], "options": self.option, "n": 1, **out, "size": self.number},
            "gwlb_decode": {**data, **sized["gwlb"]},
            "gwlb_encode": {"endpoint": 1, "attachment": 2, "cookie": 3, "ip_version": 4, **out},
            "gwlb_echo": {"buffer": self.data, "size": 128, "inner_start": 64, **header, "start": self.number},
            "flow_key_of": {**sized["packet"], "space": 0, "key": self.key, "direction": ffi.new("int *")},
            "flow_hash": {"key": self.key, "secret": self.secret, "secret_size": 32, "hash": ffi.new("uint64_t *")},
        }.get(function[9:], {})

    def _of_flows(self, function: str) -> dict[str, Any]:
        flows, key = {"flows": self.flows[0]}, {"key": self.key, "hash": 9}
        index, now = {"index": self.index[0]}, {"now_ns": 1}
        hashes, indexes = ffi.new("uint64_t[1]", [9]), ffi.new("int32_t[1]")
        return {
            "create": {"capacity": 8, "idle_ns": self.idle, "n": 6, "flows": ffi.new("fastpath_flows **")},
            "insert": {**flows, **key, "initiator": 0, "timeout": 3, **now, "index": self.index},
            "find": {**flows, **key, "index": self.index},
            "lookup_batch": {**flows, "keys": self.key, "hashes": hashes, "indexes": indexes, "n": 1, "misses": self.number},
            "touch": {**flows, **index, "timeout": 3, **now},
            "account": {**flows, **index, "direction": 0, "tcp_flags": 0, "bytes": 100, **now},
            "set_owner": {**flows, **index, "owner": 7},
            "get": {**flows, **index, "flow": self.flow, "flow_size": ffi.sizeof(self.flow[0])},
            "remove": {**flows, **index},
            "oldest": {**flows, "index": self.index},
            "due": {**flows, **now, "indexes": indexes, "room": 1, "n": self.number},
            "expire": {**flows, **now, "n": self.number},
        }[function[15:]]

    def free(self) -> None:
        lib.fastpath_lpm4_free(self.lpm4)
        lib.fastpath_lpm6_free(self.lpm6)
        lib.fastpath_flows_free(self.flows)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.free()


CHECKED = sorted(set(FUNCTIONS) - WITHOUT_RESULT)


@pytest.mark.parametrize("function", CHECKED)
def test_right_arguments_are_taken(world: World, function: str) -> None:
    assert getattr(lib, function)(*world.arguments(function).values()) != EINVAL


@pytest.mark.parametrize("function", CHECKED)
def test_no_pointer_may_be_null_but_those_that_say_so(world: World, function: str) -> None:
    call: Callable[..., int] = getattr(lib, function)
    arguments = world.arguments(function)
    pointers = [name for name, value in arguments.items() if isinstance(value, ffi.CData)]
    assert pointers
    for name in pointers:
        if (function, name) not in MAY_BE_NULL:
            assert call(*{**arguments, name: ffi.NULL}.values()) == EINVAL, name
    assert world.value[0] == 77                       # nothing was written


@pytest.mark.parametrize(("function", "name"), [
    (function, name) for function in CHECKED for name in ("packet_size", "geneve_size", "gwlb_size", "option_size", "flow_size")
    if name in World().arguments(function)
])
def test_a_structure_of_too_few_bytes_is_refused_and_one_of_more_is_cleared(world: World, function: str, name: str) -> None:
    call, arguments = getattr(lib, function), world.arguments(function)
    assert call(*{**arguments, name: arguments[name] - 1}.values()) == EINVAL
    if function in ("fastpath_flow_key_of", "fastpath_geneve_encode"):      # they read it
        return
    struct = name.removesuffix("_size")
    size = arguments[name]
    larger = ffi.new(f"uint8_t[{size + 24}]", bytes([0xEE]) * (size + 24))
    later = {struct: ffi.cast(ffi.typeof(arguments[struct]), larger), name: size + 16}
    assert call(*{**arguments, **later}.values()) >= 0
    assert bytes(larger)[-24:] == bytes(16) + bytes([0xEE]) * 8


@pytest.mark.parametrize(("function", "wrong"), [
    ("fastpath_lpm4_insert", {"length": 33}),
    ("fastpath_lpm4_insert", {"length": 1 << 31}),
    ("fastpath_lpm4_insert", {"length": 4}),                                  # 10.0.0.0 has bits behind it
    ("fastpath_lpm4_remove", {"length": 33}),
    ("fastpath_lpm4_exact", {"length": 4}),
    ("fastpath_lpm6_insert", {"length": 129}),
    ("fastpath_lpm6_insert", {"length": 15}),
    ("fastpath_lpm6_remove", {"length": (1 << 32) - 1}),
    ("fastpath_lpm6_exact", {"length": 15}),
    ("fastpath_lpm4_build", {"n": 1 << 31}),
    ("fastpath_packet_parse", {"size": 65536}),
    ("fastpath_checksum", {"size": 65536}),
    ("fastpath_geneve_decode", {"size": 1 << 40}),
    ("fastpath_gwlb_decode", {"size": 65536}),
    ("fastpath_gwlb_encode", {"ip_version": 5}),
    ("fastpath_gwlb_echo", {"inner_start": 129}),
    ("fastpath_gwlb_echo", {"header_size": 39}),
    ("fastpath_gwlb_echo", {"size": 65536}),
    ("fastpath_flow_hash", {"secret_size": 31}),
    ("fastpath_flow_hash", {"secret": ffi.new("uint8_t[32]")}),
    ("fastpath_flow_hash", {"secret": ffi.new("uint8_t[32]", bytes(range(100, 124)) + bytes(7) + b"\x7f")}),
    ("fastpath_flows_create", {"capacity": 0}),
    ("fastpath_flows_create", {"capacity": (1 << 30) + 1}),
    ("fastpath_flows_create", {"n": 5}),
    ("fastpath_flows_create", {"idle_ns": ffi.new("uint64_t[6]", [1, 1, 1, 0, 1, 1])}),
    ("fastpath_flows_insert", {"timeout": 6}),
    ("fastpath_flows_insert", {"timeout": -1}),
    ("fastpath_flows_insert", {"initiator": 2}),
    ("fastpath_flows_lookup_batch", {"n": 1 << 31}),
    ("fastpath_flows_touch", {"timeout": 6}),
    ("fastpath_flows_account", {"direction": 2}),
    ("fastpath_flows_account", {"tcp_flags": 256}),
    ("fastpath_flows_account", {"bytes": 1 << 32}),
    ("fastpath_flows_due", {"room": 1 << 31}),
])
def test_what_is_out_of_range_is_refused(world: World, function: str, wrong: dict[str, Any]) -> None:
    arguments = world.arguments(function)
    assert wrong.keys() <= arguments.keys()
    assert getattr(lib, function)(*{**arguments, **wrong}.values()) == EINVAL


def test_tables_are_as_they_were_after_calls_that_failed(world: World) -> None:
    for function in CHECKED:
        arguments = world.arguments(function)
        for name, value in arguments.items():
            if isinstance(value, ffi.CData) and (function, name) not in MAY_BE_NULL:
                getattr(lib, function)(*{**arguments, name: ffi.NULL}.values())
    assert lib.fastpath_lpm4_size(world.lpm4[0]) == lib.fastpath_lpm6_size(world.lpm6[0]) == 1
    assert lib.fastpath_lpm4_lookup(world.lpm4[0], 10 << 24, world.value) == OK and world.value[0] == 5
    assert lib.fastpath_flows_size(world.flows[0]) == 1


@pytest.mark.parametrize("index", [-1, 1, 7, 8, 1 << 30, -(1 << 31), (1 << 31) - 1])
@pytest.mark.parametrize("function", ["touch", "account", "set_owner", "get", "remove"])
def test_a_number_that_is_no_flow_is_not_found(world: World, function: str, index: int) -> None:
    name = f"fastpath_flows_{function}"
    assert getattr(lib, name)(*{**world.arguments(name), "index": index}.values()) == ENOENT
    assert lib.fastpath_flows_size(world.flows[0]) == 1


@pytest.mark.parametrize("kind", ["lpm4", "lpm6", "flows"])
def test_a_second_free_of_the_same_variable_does_nothing(world: World, kind: str) -> None:
    free, handle = getattr(lib, f"fastpath_{kind}_free"), getattr(world, kind)
    free(handle)
    assert handle[0] == ffi.NULL
    free(handle)
    free(ffi.NULL)
    assert getattr(lib, f"fastpath_{kind}_size")(ffi.NULL) == getattr(lib, f"fastpath_{kind}_bytes")(ffi.NULL) == 0
