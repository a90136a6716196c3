"""Programs of tests and examples, compiled by the system's compiler as a user would: with what `python -m fastpath` prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "embedding"
# Under tools/sanitize.py the library needs the sanitizers: programs have them linked in, compilers can not have them.
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
PLAIN = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
SANITIZERS = ("-fsanitize=address,undefined",) if SANITIZED else ()
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g", *SANITIZERS)


def tool(name: str, package: str) -> str:
    """The path of a program that a test needs; .ci/packages lists it, so its absence is a failure and no reason to skip."""
    path = shutil.which(name)
    assert path, f"{name} is missing: sudo apt-get install {package}"
    return path


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run to the end, with what it printed."""
    environment = options.pop("env", dict(os.environ) if command[0] == sys.executable else PLAIN)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment, **options)


def flags(*asked: str) -> list[str]:
    """What `python -m fastpath` prints for a build."""
    done = run([sys.executable, "-m", "fastpath", *asked])
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def compiled(source: Path, out: Path, *options: str, compiler: str = "cc", standard: str = "-std=c99") -> Path:
    """Compile one source into a program, warnings being errors."""
    words = [tool(compiler, "g++" if compiler == "c++" else "gcc"), standard, *STRICT, *options, str(source)]
    done = run([*words, *flags("--cflags", "--libs"), "-o", str(out)])
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return out
