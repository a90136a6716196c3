"""tools/need.sh: what is missing on a fresh machine is named, with the package, all at once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .sources import ROOT

SH = shutil.which("sh") or "/bin/sh"


def need(purpose: str, path: Path, python: str = "python3") -> subprocess.CompletedProcess[str]:
    command = [SH, str(ROOT / "tools" / "need.sh"), python, purpose]
    environment = {"PATH": str(path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=30)


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!{SH}\n{script}\n")
    (folder / name).chmod(0o755)


def test_nothing_is_said_when_nothing_is_missing(tmp_path: Path) -> None:
    program(tmp_path, "python3", f'exec {sys.executable} "$@"')
    for name in ("gcc", "curl", "dig"):
        program(tmp_path, name, "cat >/dev/null 2>&1; exit 0")
    assert need("lab", tmp_path).returncode == 0
    done = need("build", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_compiler_is_named_with_its_package(tmp_path: Path) -> None:
    program(tmp_path, "python3", f'exec {sys.executable} "$@"')
    done = need("build", tmp_path)
    assert done.returncode == 1 and "a C compiler (gcc)" in done.stderr
    assert "sudo apt-get install gcc" in done.stderr


def test_missing_venv_and_headers_are_named_together(tmp_path: Path) -> None:
    program(tmp_path, "gcc", "exit 0")
    program(tmp_path, "python3", 'case "$2" in *version_info*) exit 0;; *) exit 1;; esac')
    assert "install python3-venv python3-dev\n" in need("build", tmp_path).stderr


def test_an_old_python_is_told_how_to_give_another(tmp_path: Path) -> None:
    program(tmp_path, "python3", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    done = need("build", tmp_path)
    assert done.returncode == 1 and "3.11 or newer is needed" in done.stderr and "make PYTHON=" in done.stderr


@pytest.mark.parametrize("present", ["", "curl", "dig"])
def test_the_lab_s_clients_are_named_with_their_packages(tmp_path: Path, present: str) -> None:
    program(tmp_path, "python3", f'exec {sys.executable} "$@"')
    if present:
        program(tmp_path, present, "exit 0")
    wanted = [package for name, package in (("curl", "curl"), ("dig", "bind9-dnsutils")) if name != present]
    assert f"apt-get install {' '.join(wanted)}\n" in need("lab", tmp_path).stderr
