"""The criteria of a RuleSet, checked and frozen: what a caller hands to fastpath.classify.

Journey: before it, once a policy edit. Whoever compiles rules makes Networks, Services and Names; RuleSet's
constructor checks them here and keeps private copies, so that the decision trusts every index. It decides
nothing.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastpath.lpm import Lpm4, Lpm6

__all__ = ["CAPACITY_MAX", "Names", "Networks", "Services"]

CAPACITY_MAX = 1 << 26  # names, or rows of one criterion: keeps every row * words below 2**40 bytes


class Networks(NamedTuple):
    """A criterion over addresses: the longest match gives the row of `rows`.

    v4, v6: tables whose values and default are row numbers; not to be changed afterwards.
    rows: uint64[n, words].
    """

    v4: Lpm4
    v6: Lpm6
    rows: npt.NDArray[np.uint64]


class Services(NamedTuple):
    """The criterion over protocol and port: the row of `rows` for each.

    tcp, udp: uint16[65536] by destination port.
    protocols: uint16[256], also for later fragments of TCP and UDP.
    rows: uint64[n, words].
    """

    tcp: npt.NDArray[np.uint16]
    udp: npt.NDArray[np.uint16]
    protocols: npt.NDArray[np.uint16]
    rows: npt.NDArray[np.uint64]


class Names(NamedTuple):
    """The names' half of the destination criterion.

    row_of: uint32[capacity] by name id, 0 for ids not bound yet.
    rows: uint64[n, words]; row 0 is that of no name.
    """

    row_of: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint64]


def frozen(value: Any, name: str, dtype: type, *shape: int | None) -> npt.NDArray[Any]:
    """Return a private, read-only, C-contiguous copy of an array.

    Raises:
        ValueError: its dtype or shape (None = any) is another; names the argument.
    """
    array = np.asarray(value)
    if array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    axes = zip(shape, array.shape, strict=False)
    if array.ndim != len(shape) or any(want is not None and want != have for want, have in axes):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have shape ({wanted}), not {array.shape}")
    copy = np.array(array, order="C", copy=True)
    copy.flags.writeable = False
    return copy


def rows(value: Any, name: str, words: int, last: int | None) -> npt.NDArray[np.uint64]:
    """Freeze a bitmap of one row or more; each must have the bit of clause `last`, unless that is None."""
    array = frozen(value, name, np.uint64, None, words)
    if not 1 <= len(array) <= CAPACITY_MAX:
        raise ValueError(f"{name} must have 1 to {CAPACITY_MAX} rows, not {len(array)}")
    if last is not None and not (array[:, last >> 6] >> np.uint64(last & 63) & np.uint64(1)).all():
        raise ValueError(f"{name} must have the last clause, {last}, in every row: it matches everything")
    return array


def row_numbers(value: Any, name: str, dtype: type, size: int | None, below: int) -> npt.NDArray[Any]:
    """Freeze a table of row numbers, each less than `below`."""
    array = frozen(value, name, dtype, size)
    if array.size and int(array.max()) >= below:
        raise ValueError(f"{name} must hold row numbers below {below}, not {int(array.max())}")
    return array


def networks(value: Networks, name: str, words: int, last: int) -> npt.NDArray[np.uint64]:
    """Check a criterion over addresses and freeze its rows."""
    if not (isinstance(value, Networks) and isinstance(value.v4, Lpm4) and isinstance(value.v6, Lpm6)):
        raise TypeError(f"{name} must be Networks(Lpm4, Lpm6, rows)")
    array = rows(value.rows, f"{name}.rows", words, last)
    for family in ("v4", "v6"):
        table = getattr(value, family)
        most = max((row for _, row in table), default=table.default)
        most = max(most, table.default)
        if most >= len(array):
            raise ValueError(f"{name}.{family} must hold row numbers below {len(array)}, not {most}")
    return array


def services(value: Services, words: int, last: int) -> Services:
    """Check and freeze the criterion over protocol and port."""
    if not isinstance(value, Services):
        raise TypeError("service must be Services(tcp, udp, protocols, rows)")
    array = rows(value.rows, "service.rows", words, last)
    return Services(
        row_numbers(value.tcp, "service.tcp", np.uint16, 65536, len(array)),
        row_numbers(value.udp, "service.udp", np.uint16, 65536, len(array)),
        row_numbers(value.protocols, "service.protocols", np.uint16, 256, len(array)),
        array,
    )


def names(value: Names, words: int, spare_rows: int) -> Names:
    """Check and copy the names' rows, with `spare_rows` more behind them."""
    if not isinstance(value, Names):
        raise TypeError("name must be Names(row_of, rows)")
    if not 0 <= spare_rows <= CAPACITY_MAX:
        raise ValueError(f"spare_rows must be 0 to {CAPACITY_MAX}, not {spare_rows}")
    array = rows(value.rows, "name.rows", words, None)
    row_of = row_numbers(value.row_of, "name.row_of", np.uint32, None, len(array))
    if not 1 <= len(row_of) <= CAPACITY_MAX:
        raise ValueError(f"name.row_of must have 1 to {CAPACITY_MAX} entries, not {len(row_of)}")
    if row_of[0] != 0:
        raise ValueError(f"name.row_of[0] must be 0, the row of no name, not {row_of[0]}")
    return Names(row_of, np.concatenate([array, np.zeros((spare_rows, words), np.uint64)]))


def rule_of(value: Any, rules: int) -> npt.NDArray[np.int32]:
    """Check and freeze the rule of each clause: ascending, the last clause that of the last rule."""
    array = frozen(value, "rule_of", np.int32, None)
    if not array.size:
        raise ValueError("rule_of must name the rule of at least one clause")
    if array[0] < 0 or (np.diff(array) < 0).any() or array[-1] != rules - 1:
        raise ValueError(f"rule_of must ascend from 0 or more to the last rule, {rules - 1}")
    return array
