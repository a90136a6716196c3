"""Tell the service manager how the daemon is: sd_notify datagrams to $NOTIFY_SOCKET.

Without that variable (no Type=notify unit around us) every call does nothing. A manager that cannot be
reached never harms the daemon: the message is lost and the unit's start timeout tells the operator.
Source: sd_notify(3), "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=", "WATCHDOG=1".
"""

from __future__ import annotations

import logging
import os
import socket
import time

__all__ = ["ready", "reloading", "send", "status", "stopping", "watchdog", "watchdog_interval_s"]

log = logging.getLogger(__name__)


def ready() -> None:
    """Say that the daemon serves; units ordered after it may start."""
    send("READY=1")


def reloading() -> None:
    """Say that the configuration is read again; ready() says that the new one is in force (Type=notify-reload)."""
    send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Say that the daemon drains and will end."""
    send("STOPPING=1")


def watchdog() -> None:
    """Say that the event loop still turns; due at least every WatchdogSec of the unit."""
    send("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """Return how often watchdog() is due, half of what the manager allows; None = it does not watch.

    Source: sd_watchdog_enabled(3).
    """
    allowed, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or int(allowed) == 0 or process not in ("", str(os.getpid())):
        return None
    return int(allowed) / 2e6


def status(text: str) -> None:
    """Show one line under `systemctl status`.

    Args:
        text: free text; line breaks become spaces, since they separate assignments.
    """
    send("STATUS=" + " ".join(text.splitlines()))


def send(assignments: str) -> bool:
    """Send newline-separated assignments; return whether the manager's socket took them."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    # A leading @ stands for the NUL byte of the abstract namespace.
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.setblocking(False)
            manager.sendto(assignments.encode(), address)
    except OSError as error:
        log.debug("service manager at %s not reached: %s", path, error)
        return False
    return True
