"""Longest prefix match as a Python user would pick it: py-radix and pytricia, where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import numpy.typing as npt

from bench import routes
from bench.harness import Case

LOOKED_UP = 4096        # addresses a call: each is a Python call of its own, so that more would only take longer
ROUTES = 100_000        # of the table, at most: theirs take a kilobyte a route, and a look-up hardly depends on it


def peer_cases(version: int, made: routes.Arrays, queries: dict[str, npt.NDArray]) -> Iterator[Case]:
    """Look-up by kind of address, each address given as text, as both take it.

    Args:
        made: networks, lengths and values; queries: by kind. Addresses as Lpm4 or Lpm6 take them.
    """
    networks, lengths, _ = made
    shown = [f"{text(version, network)}/{length}" for network, length in zip(networks[:ROUTES], lengths[:ROUTES], strict=True)]
    texts = {kind: [text(version, address) for address in addresses[:LOOKED_UP]] for kind, addresses in queries.items()}
    for impl, make in (("py-radix", radix), ("pytricia", pytricia)):
        if importlib.util.find_spec(impl.removeprefix("py-")) is None:
            continue
        look_up = make(version, shown)
        for kind, addresses in texts.items():
            yield Case(impl, kind, "ns", len(addresses), lambda look_up=look_up, addresses=addresses: [
                look_up(address) for address in addresses])


def text(version: int, address: object) -> str:
    """An address as people write it."""
    return str(ip_address(int(address) if version == 4 else bytes(address)))  # type: ignore[call-overload]


def radix(version: int, prefixes: list[str]) -> Callable[[str], object]:
    """Its search_best."""
    from radix import Radix  # noqa: PLC0415

    tree = Radix()
    for number, prefix in enumerate(prefixes):
        tree.add(prefix).data["value"] = number
    return tree.search_best


def pytricia(version: int, prefixes: list[str]) -> Callable[[str], object]:
    """Its get."""
    from pytricia import PyTricia  # noqa: PLC0415

    tree = PyTricia(32 if version == 4 else 128)
    for number, prefix in enumerate(prefixes):
        tree.insert(prefix, number)
    return tree.get
