"""A daemon of the lab: started in its host, ready when it says so, its words kept.

It is told of readiness as systemd would be (sd_notify(3)). Used by deployment and the scenarios.
"""

import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from zcc.errors import ZccError
from zcc.lab.host import Host

_STEP_S = 0.2


class StartFailed(ZccError):
    """A daemon ended before it was ready, or was not ready in time; the message holds its last words."""


class Daemon:
    """A process that serves until told to stop.

    Args:
        name: what people call it; its output goes to `log`, appended over restarts.
        command: program and arguments.
        notify: path for the readiness socket.
    """

    def __init__(self, name: str, host: Host, command: Sequence[str], *, log: Path, notify: Path) -> None:
        self.name = name
        self.host = host
        self.log = log
        self._command = command
        self._notify = notify
        self._manager: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait_ready` says when it serves."""
        self._notify.unlink(missing_ok=True)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._manager.bind(str(self._notify))
        with self.log.open("ab") as log:
            self._process = self.host.start(
                self._command, extra={"NOTIFY_SOCKET": str(self._notify)}, log=log
            )

    def wait_ready(self, limit_s: float) -> None:
        """Wait until it says READY=1.

        Raises:
            StartFailed: it ended, or said nothing within `limit_s`.
        """
        manager, process = self._manager, self._process
        if manager is None or process is None:
            raise ValueError(f"{self.name} has not been started")
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if select.select([manager], [], [], _STEP_S)[0] and b"READY=1" in manager.recv(65536).split(
                b"\n"
            ):
                return
            if process.poll() is not None:
                raise StartFailed(f"{self.name} ended with status {process.returncode}:\n{self.tail()}")
        raise StartFailed(f"{self.name} was not ready within {limit_s:g} s:\n{self.tail()}")

    def reload(self, limit_s: float) -> None:
        """Tell it to read its file again (SIGHUP) and wait until it says READY=1 again.

        Raises:
            StartFailed: it ended, or said nothing within `limit_s`.
        """
        while self._manager and select.select([self._manager], [], [], 0)[0]:
            self._manager.recv(65536)
        self.send_signal(signal.SIGHUP)
        self.wait_ready(limit_s)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process last started; 0 = none yet."""
        return 0 if self._process is None else self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.send_signal(signal.SIGKILL)
        self.wait(limit_s=5)

    def wait(self, limit_s: float) -> int | None:
        """Wait for its end; return its status, or None when it still lives after `limit_s`."""
        if self._process is None:
            return None
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def tail(self, lines: int = 12) -> str:
        """Return the last lines it has written."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
