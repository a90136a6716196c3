"""The reference of fastpath.arguments: what a call takes, said once, and what it must refuse.

`takes` declares the arguments of a function of the models; tests/fastpath/test_arguments.py tries what each kind calls wrong
on the compiled function of the same name too.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """A C-contiguous array of one type; a shape of None is any. `sized`: a shorter one is wrong."""

    dtype: type
    width: int | None = None
    written: bool = False
    sized: bool = True

    def check(self, name: str, value: Any) -> None:
        try:
            view = np.asarray(memoryview(value))
        except TypeError as error:
            raise TypeError(f"{name} must be an array of {self.dtype.__name__}: {error}") from None
        if view.dtype != self.dtype or view.ndim != 1 + (self.width is not None) or not view.flags.c_contiguous:
            raise ValueError(f"{name} must be a contiguous array of {self.dtype.__name__}")
        if self.width is not None and view.shape[1] != self.width:
            raise ValueError(f"{name} must be [n, {self.width}]")
        if self.written and not view.flags.writeable:
            raise ValueError(f"{name} must be writable")

    def wrong(self, right: Any) -> Iterator[tuple[str, Any]]:
        array = np.asarray(memoryview(right))
        yield from (("None", None), ("int", 5), ("list", array.tolist()), ("text", "text"), ("object", object()))
        yield "dtype", array.astype(np.int16 if self.dtype != np.int16 else np.int8)
        yield "float", array.astype(np.float64)
        yield "dimensions", array[np.newaxis].copy()
        yield "strided", np.repeat(array, 2, axis=0)[::2] if len(array) > 1 else np.zeros(4, self.dtype)[::2]
        if self.width is not None:
            yield "narrow", array[:, :-1].copy()
            yield "flat", array.reshape(-1).copy()
            yield "Fortran", np.asfortranarray(np.vstack([array, array]))
        if self.written:
            fixed = array.copy()
            fixed.flags.writeable = False
            yield "read-only", fixed
        if self.sized:
            yield "short", array[:-1].copy()


@dataclass(frozen=True)
class Number:
    """An int from least to most."""

    least: int
    most: int

    def check(self, name: str, value: Any) -> None:
        if not hasattr(type(value), "__index__"):
            raise TypeError(f"{name} must be an int, not {type(value).__name__}")
        if not self.least <= value <= self.most:
            raise ValueError(f"{name} must be {self.least} to {self.most}, not {value}")

    def wrong(self, _: Any) -> Iterator[tuple[str, Any]]:
        yield from (("None", None), ("text", "1"), ("float", 1.0), ("bytes", b"1"))
        yield from ((str(n), n) for n in (self.least - 1, self.most + 1, 1 << 70, -1 << 70))


TIME = Number(0, 2**64 - 1)


@dataclass(frozen=True)
class Octets:
    """Bytes or what is like them, as many as `size` says."""

    size: int | None = None

    def check(self, name: str, value: Any) -> None:
        try:
            data = bytes(memoryview(value))
        except TypeError:
            raise TypeError(f"{name} must be bytes-like, not {type(value).__name__}") from None
        if self.size is not None and len(data) != self.size:
            raise ValueError(f"{name} must be {self.size} bytes, not {len(data)}")

    def wrong(self, right: Any) -> Iterator[tuple[str, Any]]:
        yield from (("None", None), ("int", len(right)), ("text", "x" * len(right)), ("list", list(right)))
        if self.size is not None:
            yield from (("short", bytes(right)[:-1]), ("long", bytes(right) + b"x"), ("empty", b""))


@dataclass(frozen=True)
class Text:
    """A str that has a UTF-8 form."""

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, not {type(value).__name__}")

    def wrong(self, _: Any) -> Iterator[tuple[str, Any]]:
        yield from (("None", None), ("int", 5), ("bytes", b"x"), ("half a pair", "\ud800"))


@dataclass(frozen=True)
class Address:
    """What ipaddress takes; ints too, so none is tried."""

    def wrong(self, _: Any) -> Iterator[tuple[str, Any]]:
        yield from (("None", None), ("text", "everywhere"), ("bytes", b"abc"), ("object", object()), ("float", 1.5))


@dataclass(frozen=True)
class Instance:
    """An object of a class; None is none."""

    def wrong(self, right: Any) -> Iterator[tuple[str, Any]]:
        yield from (("None", None), ("int", 5), ("object", object()))
        yield ("text", "text") if isinstance(right, bytes) else ("array", np.zeros(4, np.uint8))


def takes(**kinds: Any) -> Any:
    """Have a function of the models refuse what is not of these kinds, before it does anything."""

    def decorate(function: Any) -> Any:
        names = function.__code__.co_varnames[: function.__code__.co_argcount]

        @functools.wraps(function)
        def checked(*arguments: Any, **named: Any) -> Any:
            for name, value in (*zip(names, arguments, strict=False), *named.items()):
                if name in kinds:
                    kinds[name].check(name, value)
            return function(*arguments, **named)

        checked.kinds = kinds  # type: ignore[attr-defined] - test_arguments looks for it
        return checked

    return decorate
