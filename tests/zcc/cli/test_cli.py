"""The command line as a person uses it: exit codes, where text goes, and how daemons end."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography import x509

ENVIRONMENT = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}


def zcc(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zcc", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, check=False, timeout=60
    )


def test_help_lists_every_command() -> None:
    done = zcc("--help")
    assert done.returncode == 0
    for command in (
        "connector",
        "private-edge",
        "app-connector",
        "internet-edge",
        "check",
        "explain",
        "replay",
        "ledger",
        "pki",
        "lab",
        "gwlb",
    ):
        assert command in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, zcc.cli\n"
        "heavy = {'cryptography', 'numpy', 'pydantic', 'OpenSSL', 'uvloop', 'dns', 'pyroute2', 'fastpath'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.parametrize("command", ["connector", "check", "explain", "replay", "ledger", "pki"])
def test_help_of_a_command_has_an_example(command: str) -> None:
    done = zcc(command, "--help")
    assert done.returncode == 0 and "Example" in done.stdout


def test_the_version_is_the_package_s() -> None:
    assert zcc("--version").stdout == "zcc 0.1.0\n"


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("check", "--nonsense"), ("check", "--schema", "gateway")]
)
def test_a_wrong_command_line_exits_2(arguments: tuple[str, ...]) -> None:
    done = zcc(*arguments)
    assert done.returncode == 2 and done.stderr and not done.stdout


@pytest.mark.parametrize("command", ["connector", "private-edge", "check"])
def test_a_wrong_file_exits_2_and_says_where(command: str, tmp_path: Path) -> None:
    (tmp_path / "zcc.yaml").write_text("role: connector\nname: a\nname: b\n")
    done = zcc(command, folder=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("zcc.yaml:1: ") and not done.stdout
    assert "Traceback" not in done.stderr


def test_check_prints_json_for_machines(tmp_path: Path) -> None:
    (tmp_path / "zcc.yaml").write_text("role: conector\n")
    done = zcc("check", "--json", folder=tmp_path)
    answer = json.loads(done.stdout)
    assert done.returncode == 2 and answer["ok"] is False
    assert answer["problems"][0]["line"] == 1 and answer["problems"][0]["field"] == "role"


def test_pki_makes_a_ca_an_identity_and_a_revocation(tmp_path: Path) -> None:
    assert zcc("pki", "init", "ca", "--tenant", "acme", folder=tmp_path).returncode == 0
    issued = json.loads(
        zcc("pki", "issue", "ca", "connector", "cc-1", "--out", "id", "--json", folder=tmp_path).stdout
    )
    certificate = x509.load_pem_x509_certificate((tmp_path / "id" / "certificate.pem").read_bytes())
    assert issued["serial"] == f"{certificate.serial_number:x}"
    assert zcc("pki", "revoke", "ca", "cc-1", folder=tmp_path).returncode == 0
    [entry] = json.loads(zcc("pki", "list", "ca", "--json", folder=tmp_path).stdout)
    assert entry["serial"] == issued["serial"] and entry["revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("pki", "init", ".", "--tenant", "acme"),
        ("pki", "init", "ca", "--tenant", "A/B"),
        ("pki", "issue", "absent", "connector", "x"),
        ("pki", "revoke", "absent", "x"),
        ("pki", "list", "absent"),
    ],
)
def test_a_failing_command_exits_1_with_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = zcc(*arguments, folder=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not done.stdout


class Daemon:
    """serve() in a process of its own, around a run() given as source."""

    def __init__(self, body: str) -> None:
        code = "\n".join(
            [
                "import asyncio, sys",
                "from zcc.errors import ConfigurationError, DeviceError, Problem, ZccError",
                "from zcc.serve import serve",
                "from zcc.telemetry.settings import LogSettings",
                "async def run(settings, *, stop):",
                textwrap.indent(textwrap.dedent(body), "    "),
                "sys.exit(serve(run, None, LogSettings()))",
            ]
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_daemon_which_ends_by_itself(number: signal.Signals) -> None:
    daemon = Daemon("print('ready', flush=True)\nawait stop.wait()\nprint('drained', flush=True)")
    daemon.wait_ready()
    daemon.process.send_signal(number)
    code, errors = daemon.end()
    assert code == 0 and f"{number.name}: stopping" in errors


def test_the_second_signal_ends_the_daemon_at_once() -> None:
    daemon = Daemon(
        "print('ready', flush=True)\nawait stop.wait()\nprint('ready', flush=True)\nawait asyncio.sleep(60)"
    )
    for _ in range(2):
        daemon.wait_ready()
        daemon.process.send_signal(signal.SIGTERM)
    code, errors = daemon.end()
    assert code == 1 and "second SIGTERM" in errors


@pytest.mark.parametrize(
    ("raised", "code", "said", "traceback"),
    [
        ("DeviceError('no tun; load it')", 1, "no tun; load it", False),
        ("ConfigurationError([Problem('f', 3, 'name', 'missing')])", 2, "f:3: name: missing", False),
        ("RuntimeError('bug')", 1, "RuntimeError: bug", True),
        (
            "ExceptionGroup('x', [DeviceError('one'), ExceptionGroup('y', [ZccError('two')])])",
            1,
            "two",
            False,
        ),
        ("ExceptionGroup('x', [DeviceError('one'), RuntimeError('bug')])", 1, "RuntimeError: bug", True),
    ],
)
def test_an_error_is_the_daemon_s_exit_code(raised: str, code: int, said: str, traceback: bool) -> None:
    ended, errors = Daemon(f"raise {raised}").end()
    assert ended == code and said in errors and ("Traceback" in errors) is traceback
