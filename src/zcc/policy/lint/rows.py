"""Rows: columns of numbers that grow at their end; the numbers of a column's row lie together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rows"]


class Rows:
    """Columns of one length: [row], or [row, number] where a row has several.

    Args:
        kind: a structured dtype: the columns by name.
    """

    def __init__(self, kind: np.dtype[Any]) -> None:
        assert kind.fields is not None and kind.names is not None, "the columns have names"
        self._columns = {name: np.zeros((64, *kind[name].shape), kind[name].base) for name in kind.names}
        self._count = 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column; it is not to be kept."""
        return self._columns[name][: self._count]

    def add(self, **values: Any) -> None:
        """Add a row: a value for each column."""
        for name, column in self._columns.items():
            if self._count == len(column):
                self._columns[name] = np.concatenate([column, np.zeros_like(column)])
            self._columns[name][self._count] = values[name]
        self._count += 1
