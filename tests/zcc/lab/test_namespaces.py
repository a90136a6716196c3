"""Worlds: hosts in them reach each other, and nothing outlives them, however they end."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zcc.lab.namespaces import explain_refusal

WORLD = str(Path(__file__).with_name("world.py"))
LIMIT_S = 30


def run(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, WORLD, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode == 77:
        pytest.fail(done.stdout)
    return done


@contextmanager
def lingering() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A world with a program in each of three hosts; the pipe's end comes when the last process of the world
    has gone.
    """
    if run("status", "0").returncode:
        pytest.fail("no world can be made")
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, WORLD, "linger", str(theirs)],
        pass_fds=[theirs],
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C goes to the whole group, and not to the tests
    )
    os.close(theirs)
    try:
        assert read(ours) == b"up\n", process.stderr
        yield process, ours
    finally:
        process.kill()
        process.communicate()
        os.close(ours)


def read(pipe: int) -> bytes:
    """What comes next; b"" = nobody holds the other end any more."""
    assert select.select([pipe], [], [], LIMIT_S)[0], "nothing happens"
    return os.read(pipe, 100)


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def test_hosts_reach_each_other_through_a_router_over_both_families() -> None:
    assert run("ping").returncode == 0


def test_the_status_of_the_program_is_the_status_of_the_world() -> None:
    assert run("status", "7").returncode == 7


def test_a_crash_prints_its_traceback_and_ends_the_world() -> None:
    done = run("crash")
    assert done.returncode == 1
    assert "as the test wants" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_outlives_the_command_when_it_is_killed(number: signal.Signals) -> None:
    before = mounts()
    with lingering() as (process, pipe):
        process.send_signal(number)
        assert read(pipe) == b""
    assert mounts() == before


def test_ctrl_c_ends_the_world() -> None:
    with lingering() as (process, pipe):
        os.killpg(process.pid, signal.SIGINT)
        assert read(pipe) == b""
        assert process.wait(LIMIT_S) == 128 + signal.SIGINT


def test_a_refusal_says_what_to_type() -> None:
    text = explain_refusal(PermissionError(1, "Operation not permitted"))
    assert "sysctl -w" in text or "sudo zcc lab" in text
    assert "run the lab as root" in text
