"""`zcc check`: every mistake of a configuration file, and what is allowed in it and hardly meant.

Journey: argv → zcc.config, and for a connector's file zcc.policy.lint → terminal or JSON. Files that rules look into are read
if they are there; no network is touched.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zcc import config as configuration
from zcc.document import Document, collection_paused, field_name
from zcc.errors import ConfigurationError, FeedError, Problem
from zcc.feeds.watch import Watch
from zcc.policy.lint.all import Severity, lint
from zcc.policy.lint.dns_rules import lint_dns
from zcc.wording import counted

__all__ = ["check_command"]

ERRORS_EXIT = 2
FEEDS = ("countries", "categories", "workloads")


def check_command(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The YAML file.")] = Path("zcc.yaml"),
    schema: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Print the JSON Schema of a role's file instead.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Validate a configuration file: every mistake with its line, the field and what is allowed; then warnings.

    Exits 2 if there is a mistake, 0 if there are warnings only or nothing.

    Examples: zcc check --config zcc.yaml  ·  zcc check --schema connector > connector.json
    """
    if schema is not None:
        try:
            typer.echo(json.dumps(configuration.schema(schema), indent=2))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--schema") from None
        return
    try:
        with collection_paused():
            document, settings = configuration.read(config)
            problems = _lints(document, settings)
    except ConfigurationError as error:
        if not as_json:
            raise
        problems = list(error.problems)
    errors = [problem for problem in problems if problem.severity == Severity.ERROR]
    if as_json:
        listed = [dataclasses.asdict(problem) for problem in problems]
        typer.echo(json.dumps({"ok": not errors, "problems": listed}))
    else:
        if problems:
            typer.echo("\n".join(map(str, problems)), err=True)
        if not errors:
            typer.echo(f"{config}: OK" + (f", {counted(len(problems), 'warning')}" if problems else ""))
    if errors:
        raise typer.Exit(ERRORS_EXIT)


def _lints(document: Document, settings: Any) -> list[Problem]:
    """The lints of a connector's file; other roles have none."""
    if settings.role != "connector":
        return []
    feeds, problems, world = settings.feeds, [], None
    try:
        world = Watch(feeds).world
    except FeedError as error:
        problems.append(Problem(document.file, document.line(("feeds",)), "feeds", str(error), "error", "feed"))
    named = frozenset(name for name in FEEDS if getattr(feeds, name) is not None)
    policy = settings.policy()
    of_dns = lint_dns(settings.dns_rules, policy, settings.own_ranges(), world, named)
    for found in (*lint(policy, world, named), *of_dns):
        place = found.place
        line, field = document.line(place), field_name(place)
        problems.append(Problem(document.file, line, field, found.message, str(found.severity), found.code))
    return sorted(problems, key=lambda problem: problem.line)
