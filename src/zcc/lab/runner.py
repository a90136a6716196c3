"""The lab's main program, run as PID 1 of its own world: brings the system up, runs the rows, or opens a
shell.

Called by the command through namespaces.isolate. Everything it starts ends with it.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from zcc.errors import ZccError
from zcc.lab import namespaces
from zcc.lab.deployment import Deployment
from zcc.lab.enter import shell_command, shell_environment
from zcc.lab.report import Report, Result
from zcc.lab.scenarios.scenario import Lab, Scenario, Seen


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for.

    Args:
        scenarios: the rows to run.
        as_json: one JSON object a row on standard output instead of the table.
        keep: stay up after the rows until Ctrl-C.
        shell: host to open a shell in instead of running rows; empty = none.
        logs: where logs go when a row fails, outside the lab's own file system.
    """

    scenarios: Sequence[Scenario]
    download_bytes: int
    as_json: bool
    keep: bool
    shell: str
    logs: Path


LOG_COLUMNS = 160   # of the table in a file or a CI log, where nothing says how wide it may be


class OutOfTime(ZccError):
    """A row took longer than it may."""


def run(options: Options) -> int:
    """Bring the lab up and do what was asked; return the exit status."""
    console = Console(stderr=True)
    deployment = None
    try:
        with console.status("starting the lab") as status:
            deployment = Deployment(namespaces.state_directory(), status.update)
            deployment.start()
    except ZccError as error:
        console.print("[red]The lab did not come up:")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        _keep_logs(deployment, options, console)
        return 1
    if options.shell:
        return _open_shell(deployment, options.shell, console)
    failed = _run_rows(deployment, options, console)
    if failed:
        _keep_logs(deployment, options, console)
    if options.keep:
        _stay(deployment, console)
    return 1 if failed else 0


def _run_rows(deployment: Deployment, options: Options, console: Console) -> int:
    lab = Lab(deployment, options.download_bytes)
    failed = 0
    width = None if sys.stdout.isatty() else LOG_COLUMNS
    with Report(options.scenarios, None if options.as_json else Console(width=width)) as report:
        for scenario in options.scenarios:
            report.begin(scenario)
            result = _judge(scenario, lab)
            failed += not result.seen.ok
            report.end(result)
            if options.as_json:
                print(json.dumps(result.record()), flush=True)
    for result in report.failures:
        console.rule(f"[red]{result.scenario.name}", align="left")
        for name, tail in result.tails.items():
            console.print(f"--- {name}\n{tail}", markup=False, highlight=False, soft_wrap=True)
    for result in report.failures:      # last: of a long log people see the end
        console.print(f"failed: {result.scenario.name}: {result.seen.text}", markup=False, highlight=False, soft_wrap=True)
    return failed


def _judge(scenario: Scenario, lab: Lab) -> Result:
    begin = time.monotonic()
    try:
        with _time_limit(scenario.limit_s):
            seen = scenario.judge(lab)
    except (ZccError, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        seen = Seen(False, f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - begin
    daemons = lab.deployment.daemons
    tails = {} if seen.ok else {name: daemons[name].tail() for name in scenario.daemons if name in daemons}
    return Result(scenario, seen, seconds, tails)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime(f"not done within {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _open_shell(deployment: Deployment, name: str, console: Console) -> int:
    _hold(deployment)
    console.print(
        f"A shell on {name}; `exit` ends the lab. Hosts: {', '.join(deployment.hosts)}. "
        f"Files: {deployment.state}. From here, `zcc lab --enter HOST` goes on to another host.",
        highlight=False,
    )
    shell = shutil.which("bash") or "/bin/sh"
    process = deployment.hosts[name].start(
        shell_command(shell),
        extra=shell_environment(name),
        stdin=None,
        stdout=None,
        stderr=None,
        start_new_session=False,
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.wait()
    return 0


def _stay(deployment: Deployment, console: Console) -> None:
    _hold(deployment)
    console.print(
        f"The lab stays up; hosts: {', '.join(deployment.hosts)}; files: {deployment.state} inside it. "
        "Another terminal gets in by `zcc lab --enter HOST`. Ctrl-C ends it.",
        highlight=False,
    )
    try:
        while True:  # in rests, not by pause(): Ctrl-C just before a pause began would go unnoticed
            time.sleep(1)
    except KeyboardInterrupt:
        pass


def _hold(deployment: Deployment) -> None:
    """Keep a process in every host, so that it can be entered from elsewhere."""
    for host in deployment.hosts.values():
        host.start(["sleep", "infinity"])


def _keep_logs(deployment: Deployment | None, options: Options, console: Console) -> None:
    if deployment is None:
        return
    deployment.save_logs(options.logs)
    console.print(f"Logs and configuration files are in {options.logs}", highlight=False)
