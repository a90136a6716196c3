"""`python -m bench NAME|all [--json] [--quick] [--only WORDS] [--save FOLDER] [--pyperf]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))     # the pure-Python references, `model.<module>`

from bench import chart, harness, quoted, table
from bench.peers import Failed


def read_arguments() -> argparse.Namespace:
    """The command line."""
    names = harness.names()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure; see bench/README.md.")
    parser.add_argument("name", nargs="+", choices=[*names, "all"], metavar="NAME",
                        help=f"what to measure: all, or some of {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--quick", action="store_true", help="small inputs, few repetitions")
    parser.add_argument("--only", default="", metavar="WORDS",
                        help='only cases in whose "implementation case" these words are: "fastpath prefix"')
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write bench.jsonl, bench.txt and bench.png there")
    parser.add_argument("--pyperf", action="store_true",
                        help="figures to quote: each case in processes of its own by pyperf, with mean and deviation")
    arguments = parser.parse_args()
    arguments.name = names if "all" in arguments.name else arguments.name
    return arguments


def results_of(names: list[str], quick: bool, only: str) -> Iterator[harness.Result]:
    """Measure; say on the standard error what is being measured."""
    screen = Console(stderr=True)
    shown = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=len(names))

        def begun(bench: str, case: harness.Case) -> None:
            progress.update(task, description=f"{bench}  {case.case}  {case.impl}")

        for name in names:
            progress.update(task, description=f"{name}  making its input")
            yield from harness.run(name, harness.cases_of(name, quick, only), quick, begun)
            progress.advance(task)


def main() -> None:
    """Read the arguments, measure, print."""
    arguments = read_arguments()
    if arguments.pyperf:
        sys.exit(quoted.run(arguments.name, arguments.quick, arguments.save, arguments.only))
    results = results_of(arguments.name, arguments.quick, arguments.only)
    if arguments.json:
        kept: list[harness.Result] = []
        table.print_json(kept.append(result) or result for result in results)  # type: ignore[func-returns-value]
    else:
        kept = list(results)
        screen = Console(width=None if sys.stdout.isatty() else 120)   # nothing says how wide a file or a CI log may be
        table.print_table(kept, screen)
        table.print_bars(kept, screen)
    if arguments.save:
        save(kept, arguments.save)


def save(results: list[harness.Result], folder: Path) -> None:
    """Write the figures, the bars and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "bench.jsonl").open("w") as file:
        file.writelines(table.line(result) + "\n" for result in results)
    with (folder / "bench.txt").open("w") as file:
        table.print_bars(results, Console(file=file, width=120))
    written = ["bench.jsonl", "bench.txt"]
    try:
        written += ["bench.png"] if chart.draw(results, folder / "bench.png") else []
    except ImportError as error:
        print(f"no picture: {error}; make bench installs what it needs", file=sys.stderr)
    print("written:", *(folder / name for name in written), file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
