"""A constructor that can not take its arguments leaves the process as it was: its descriptors above all."""

import gc
import importlib
import inspect
import os
import pkgutil
from collections.abc import Iterator

import pytest

import fastpath

CALLS = [(), (None,), (None, None), (1,), ("x", "y"), ("lo", 0, 0), (b"",), (-1, -1, -1, -1), (object(),)]


def classes() -> Iterator[type]:
    for found in pkgutil.iter_modules(fastpath.__path__):
        if found.name != "__main__":
            module = importlib.import_module(f"fastpath.{found.name}")
            for made in vars(module).values():
                if inspect.isclass(made) and made.__module__ == module.__name__ and hasattr(made, "__pyx_vtable__"):
                    yield made


@pytest.mark.parametrize("made", list(classes()), ids=lambda made: made.__name__)
def test_what_could_not_be_made_closes_nothing(made: type) -> None:
    """What a refused construction leaves is zeros, and 0 is a descriptor: standard input was closed."""
    kept = os.dup(0)
    try:
        for arguments in CALLS:
            try:
                made(*arguments)
            except (TypeError, ValueError, OSError, AttributeError, MemoryError):
                gc.collect(0)
            os.fstat(0)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
