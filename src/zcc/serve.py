"""Run a role's daemon: event loop, signals, operational log, watchdog, exit code.

    SIGTERM, SIGINT     stop: the daemon drains and ends by itself, exit 0
    the second one      exit at once, 1
    ZccError            its message in the log, its exit code
    anything else       traceback in the log, 1

Only the command line calls this. What the daemon does is its own run().
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any, Protocol

import uvloop

from zcc import notify
from zcc.errors import ZccError
from zcc.telemetry.settings import LogSettings

__all__ = ["Run", "serve"]

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"

log = logging.getLogger(__name__)


class Run(Protocol):
    """A role's entry: sets up, serves until stop is set, cleans up."""

    def __call__(self, settings: Any, *, stop: asyncio.Event) -> Coroutine[Any, Any, None]: ...


def serve(run: Run, settings: Any, logs: LogSettings) -> int:
    """Run a daemon to its end.

    Args:
        run: the role's entry.
        settings: what run gets.
        logs: whose level the operational log on standard error follows.

    Returns:
        The exit code.
    """
    log_to_stderr(logs)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(run, settings))
    except ZccError as error:
        log.critical("%s", error)
        return error.exit_code
    except BaseExceptionGroup as group:
        return _failed_group(group)
    except Exception:
        log.critical("ended by an error of its own", exc_info=True)
        return 1
    return 0


def log_to_stderr(logs: LogSettings) -> None:
    """Send the operational log to standard error, times in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S"))
    handler.formatter.converter = time.gmtime  # type: ignore[union-attr]
    logging.basicConfig(level=logs.level.upper(), handlers=[handler], force=True)


async def _until_stopped(run: Run, settings: Any) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, number)
    watchdog = asyncio.create_task(_feed_watchdog())
    try:
        await run(settings, stop=stop)
    finally:
        watchdog.cancel()


def _on_signal(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        log.warning("second %s: exit without cleaning up", number.name)
        os._exit(1)
    log.info("%s: stopping; once more to exit at once", number.name)
    notify.stopping()
    stop.set()


async def _feed_watchdog() -> None:
    interval = notify.watchdog_interval_s()
    while interval is not None:
        notify.watchdog()
        await asyncio.sleep(interval)


def _failed_group(group: BaseExceptionGroup[BaseException]) -> int:
    """Log what several tasks raised together; errors for the operator without a traceback."""
    expected, other = group.split(ZccError)
    for error in _leaves(expected):
        log.critical("%s", error)
    if other is not None:
        log.critical("ended by an error of its own", exc_info=other)
        return 1
    return max(error.exit_code for error in _leaves(expected) if isinstance(error, ZccError))


def _leaves(group: BaseExceptionGroup[Any] | None) -> list[BaseException]:
    if group is None:
        return []
    found: list[BaseException] = []
    for inner in group.exceptions:
        found += _leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner]
    return found



