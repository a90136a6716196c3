"""Figures to quote: each case measured by pyperf in processes of its own, loops calibrated, mean and standard deviation.

`run` starts one pyperf manager for each bench, `python -m bench.quoted NAME`, which starts workers of the same command;
a worker makes the inputs of the cases up to its own. Each bench leaves a pyperf JSON file, for `python -m pyperf stats`,
`hist` or `compare_to`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))      # for the workers, which begin here

from bench import harness  # noqa: E402

FOLDER = HERE.parent / "build" / "bench"
ENVIRONMENT = "ZCC_BENCH_PREFIXES,PYTHONPATH"       # what workers inherit besides PATH, HOME and the locale
PLAN = ("--processes", "6", "--values", "3", "--warmups", "1")
PLAN_QUICK = ("--processes", "2", "--values", "2", "--warmups", "1", "--min-time", "0.01")
UNSTABLE = 0.1                                      # of the mean, as pyperf holds
QUICK, ONLY = "--small", "--cases"                  # pyperf has words of its own for quick


def run(names: list[str], quick: bool, folder: Path | None, only: str = "") -> int:
    """Measure benches, print a table of each; return the exit code."""
    try:
        import pyperf  # noqa: PLC0415 - among the peers' packages
    except ImportError:
        print("pyperf is not installed; make bench-quoted installs it", file=sys.stderr)
        return 2
    folder = folder or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        output = folder / f"{name}.pyperf.json"
        output.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.quoted", name, *words(quick, only), *(PLAN_QUICK if quick else PLAN),
                   "--inherit-environ", ENVIRONMENT, "--quiet", "--output", str(output)]
        if subprocess.run(command, cwd=HERE.parent, stdout=subprocess.DEVNULL, check=False).returncode:
            print(f"{name}: pyperf failed", file=sys.stderr)
            return 1
        if output.exists():             # a bench whose figures are no times of a call leaves none
            print_suite(name, pyperf.BenchmarkSuite.load(str(output)), output)
    return 0


def words(quick: bool, only: str) -> list[str]:
    """What manager and workers are told beside the name of the bench."""
    return [*([QUICK] if quick else []), *([f"{ONLY}={only}"] if only else [])]


def print_suite(name: str, suite: Any, output: Path) -> None:
    """Print mean and deviation of every case in nanoseconds, and say which are not steady."""
    table = Table(title=f"{name} (ns, mean ± standard deviation)", title_justify="left")
    for heading in ("case", "impl"):
        table.add_column(heading)
    for heading in ("mean", "± deviation", "values", "÷ fastpath"):
        table.add_column(heading, justify="right")
    means = {bench.get_name(): bench.mean() for bench in suite}
    shaken = []
    for bench in suite:
        case, impl = bench.get_name().split(" | ")
        mean, deviation, ours = bench.mean(), bench.stdev(), means.get(f"{case} | fastpath")
        ratio = f"{mean / ours:,.2f}" if ours and impl != "fastpath" else ""
        table.add_row(case, impl, f"{mean * 1e9:,.2f}", f"{deviation * 1e9:,.2f}", str(bench.get_nvalue()), ratio)
        if deviation > UNSTABLE * mean:
            shaken.append(f"{name} {case} {impl}: ±{deviation / mean:.0%} of the mean")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(f"written: {output}", *(f"not steady, do not quote: {text}" for text in shaken), sep="\n", file=sys.stderr)


def main() -> None:
    """Be a manager or a worker of pyperf."""
    import pyperf  # noqa: PLC0415

    name, quick = sys.argv[1], QUICK in sys.argv
    only = next((word.partition("=")[2] for word in sys.argv if word.startswith(f"{ONLY}=")), "")
    runner = pyperf.Runner(program_args=("-m", "bench.quoted", name, *words(quick, only)))
    runner.argparser.add_argument("name")
    runner.argparser.add_argument(QUICK, action="store_true")
    runner.argparser.add_argument(ONLY)
    arguments = runner.parse_args()
    for case in harness.cases_of(name, quick, only):
        if case.unit not in harness.SECONDS:
            continue
        name_of_case = f"{case.case} | {case.impl}"
        if case.own_clock:
            measured = runner.bench_time_func(name_of_case, harness.seconds, case, inner_loops=case.n)
        else:
            measured = runner.bench_func(name_of_case, case.function, inner_loops=case.n)
        if arguments.worker and measured is not None:
            return                      # the cases behind its own need not be made


if __name__ == "__main__":
    main()
