"""A picture of results: for each case a row, for each implementation a dot on a logarithmic scale of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.harness import Result
from bench.table import Group, grouped, nanoseconds, readable, times

COLUMNS = 2
ROW, HEAD, WIDTH = 0.42, 0.75, 7.6       # inches of a case, of what is around a panel's cases, and of a panel
ROOM = 0.075             # of a panel's width, what a text beside a dot takes
ABOVE, BELOW = 8.5, -8.5 # where it stands, in points
OURS, REFERENCE = "#0b7a3b", "#8a8f98"
PEERS = ("#c2571a", "#1f5fa8", "#7b3fa0", "#a8841f", "#b02a5b", "#1f8a8a", "#5a4a3a", "#4455cc")


def draw(results: Sequence[Result], path: Path) -> bool:
    """Write a PNG file; False when there is no time to show.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - one of the peers' packages
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels = panels_of(results)
    if not panels:
        return False
    colours = colours_of([row for groups in panels for group in groups for row in group.results])
    columns = shared_out(panels)
    height = max(sum(HEAD + ROW * len(groups) for groups in column) for column in columns) + 0.9
    figure = Figure(figsize=(WIDTH * len(columns), height))
    FigureCanvasAgg(figure)
    for number, column in enumerate(columns):
        top = height - 0.9
        for groups in column:
            tall = ROW * len(groups)
            axes = figure.add_axes(((number + 0.235) / len(columns), (top - tall) / height, 0.71 / len(columns), tall / height))
            panel(axes, groups, colours)
            top -= tall + HEAD
    legend(figure, colours)
    figure.savefig(path, dpi=110, facecolor="white")
    return True


def panels_of(results: Sequence[Result]) -> list[list[Group]]:
    """The timed groups, those of one bench together."""
    panels: dict[str, list[Group]] = {}
    for group in grouped(results):
        if group.timed:
            panels.setdefault(group.bench, []).append(group)
    return list(panels.values())


def shared_out(panels: list[list[Group]]) -> list[list[list[Group]]]:
    """Panels in columns of about the same height, in order."""
    total = sum(HEAD + ROW * len(groups) for groups in panels)
    columns: list[list[list[Group]]] = [[]]
    filled = 0.0
    for groups in panels:
        size = HEAD + ROW * len(groups)
        if len(columns) < COLUMNS and columns[-1] and filled + size / 2 > total / COLUMNS:
            columns.append([])
        columns[-1].append(groups)
        filled += size
    return columns


def colours_of(results: Sequence[Result]) -> dict[str, str]:
    """A colour for each implementation, ours and the reference the same in every picture."""
    fixed = {"fastpath": OURS, "reference": REFERENCE}
    others = [impl for impl in dict.fromkeys(result.impl for result in results) if impl not in fixed]
    peers = {impl: PEERS[number % len(PEERS)] for number, impl in enumerate(others)}
    return {**{impl: colour for impl, colour in fixed.items() if any(row.impl == impl for row in results)}, **peers}


def panel(axes: Any, groups: list[Group], colours: dict[str, str]) -> None:
    """One bench: a line through the figures of each case, dots on it, and what they say beside them."""
    axes.set_xscale("log")
    low = min(nanoseconds(row) for group in groups for row in group.results)
    high = max(nanoseconds(row) for group in groups for row in group.results)
    left, right = (10 ** (math.floor(math.log10(low) * 2 - 0.6) / 2), 10 ** (math.ceil(math.log10(high) * 2 + 0.6) / 2))
    axes.set_xlim(left, right)
    for y, group in enumerate(groups):
        row_of_dots(axes, y, group, colours, math.log10(right / left) * ROOM)
    axes.set_ylim(len(groups) - 0.45, -0.75)
    axes.set_yticks(range(len(groups)), [shortened(group.case) for group in groups], fontsize=8)
    axes.xaxis.set_major_formatter(lambda value, _: readable(value))
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_title(groups[0].bench, loc="left", fontsize=11, fontweight="bold")


def row_of_dots(axes: Any, y: int, group: Group, colours: dict[str, str], room: float) -> None:
    """One case; a text stands above its dot, or below where its neighbour's is nearer than `room` decades."""
    figures = [nanoseconds(row) for row in group.results]
    axes.plot([min(figures), max(figures)], [y, y], color="#d5d8dd", linewidth=2, zorder=1, solid_capstyle="round")
    last = {ABOVE: -math.inf, BELOW: -math.inf}
    for row, figure in zip(group.results, figures, strict=True):
        ours, ratio = row.impl == "fastpath", group.ratio(row)
        axes.scatter([figure], [y], s=52 if ours else 34, color=colours[row.impl], zorder=3 if ours else 2)
        side = ABOVE if math.log10(figure) - last[ABOVE] >= room else BELOW
        if math.log10(figure) - last[side] >= room:
            last[side] = math.log10(figure)
            axes.annotate(readable(figure) if ours or ratio is None else times(ratio), (figure, y), (0, side),
                          textcoords="offset points", ha="center", va="center", fontsize=6.5, color=colours[row.impl])


def shortened(case: str) -> str:
    """A case's name that fits beside its row."""
    return case if len(case) <= 26 else case[:25] + "…"


def legend(figure: Any, colours: dict[str, str]) -> None:
    """What each colour stands for, and how to read the picture, above all panels."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    dots = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in colours.values()]
    height = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.2 / height, "Time of one operation, logarithmic scale; × is how many times longer than fastpath",
                fontsize=10, va="center")
    figure.legend(dots, list(colours), loc="upper left", bbox_to_anchor=(0.005, 1 - 0.28 / height), ncols=min(len(dots), 10),
                  frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.2)
