"""Command groups that load a subcommand's code only when it is called, so that `zcc --help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["LazyGroup", "lazy"]

# Name of the subcommand → where its function or typer.Typer lives.
_places: dict[str, str] = {}


def lazy(app: typer.Typer, name: str, place: str, summary: str) -> None:
    """Announce a subcommand.

    Args:
        app: made with cls=LazyGroup.
        name: as typed.
        place: "module:attribute" of a function with typer options, or of a typer.Typer.
        summary: the line that `--help` of the group shows.
    """
    _places[name] = place
    app.command(name, help=summary, rich_help_panel="Tools")(_announced)


def _announced() -> None:
    """Stand in the list of commands; LazyGroup puts the loaded one in its place before any call."""


class LazyGroup(TyperGroup):
    """Lists what is announced, and loads what is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the called command's name, its loaded form and the arguments left."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and command.name in _places:
            command = _load(command.name)
        return name, command, rest


def _load(name: str) -> Any:
    module, _, attribute = _places[name].partition(":")
    found: typer.Typer | Callable[..., object] = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(found)
        found = app
    command = typer.main.get_command(found)
    command.name = name
    return command
