"""@isolated runs a test in a process of its own, inside a new network namespace that is gone when it ends.

    pytest ──starts once──▶ fork server, one thread ──forks per test──▶ child: pytest with that one test

The server is a fresh process that has imported what is slow to import. Pytest itself is never forked: another test's thread may
hold a lock then, AddressSanitizer's allocator lock for one, and the child would wait for it for ever.
"""

import functools
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import namespaces

ROOT = Path(__file__).resolve().parent.parent
CHILD_S, LAST_WORDS_S = 300, 10
OUTPUT_CHARACTERS = 60_000
PRELOADED = ["pytest", "scapy.all", "pyroute2", "uvloop", "fastpath.worker", "zcc.connector.ruleset", "zcc.pki.authority"]
# Plugins take longer to load than most tests run; what a test leaves open ends with its process, so nobody looks for it.
PLAIN = ["--disable-plugin-autoload", "-p", "no:unraisableexception", "-W", "ignore::ResourceWarning"]

_inside = False


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test that is being run in a child inside a new network namespace, loopback up; its failure fails the test.

    The child runs the whole test from its node id, fixtures included; only there is the decorated function called.
    """

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        if _inside:
            namespaces.enter()
            test(*arguments, **fixtures)
        else:
            run_child(os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0])

    return run


def run_child(test: str) -> None:
    """Run a test by its node id in a child; fail with the child's output if it fails or does not end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        output.touch()
        child = context.Process(target=be_child, args=(test, folder, output))
        child.start()
        status = awaited(child)
        text = output.read_text(errors="replace")[-OUTPUT_CHARACTERS:]
    if status:
        pytest.fail(f"{text}\nthe isolated child ended with status {status}", pytrace=False)


def awaited(child: BaseProcess) -> int | None:
    """The exit status of a child; one that does not end is made to say where it stands, and ended."""
    child.join(CHILD_S)
    for number in (signal.SIGABRT, signal.SIGKILL):     # at the first one, pytest's fault handler writes all stacks
        if child.exitcode is None and child.pid is not None:
            os.kill(child.pid, number)
            child.join(LAST_WORDS_S)
    return child.exitcode


def be_child(test: str, folder: str, output: Path) -> None:
    """Be the child: run one test with a pytest of its own, its words in a file; the status is 0 if it was run and passed."""
    global _inside  # noqa: PLW0603 - what a process is, is a fact of the process
    _inside = True
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    outcome = Outcome()
    place = ["--rootdir", str(ROOT), "--basetemp", f"{folder}/basetemp", str(ROOT / test)]
    status = pytest.main(["--capture=no", "--no-header", *PLAIN, *place], plugins=[outcome])
    os._exit(int(status) or int(not outcome.passed))    # not held up by threads that a failed test left running


class Outcome:
    """Whether the test was run, and passed: a skip is no success."""

    passed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of the test itself, not of what is set up for it."""
        if report.when == "call":
            self.passed = report.passed
