"""Build fastpath with AddressSanitizer and UndefinedBehaviorSanitizer, and run a command under them: the tests unless told.

    python tools/sanitize.py [COMMAND…]

The build lies in build/sanitize and disturbs no other. Every Python process below the command takes it, because PYTHONPATH
comes before the installed package; those of the lab in their namespaces too. A finding ends the process that has it, and so
the test. `make sanitize` and CI run this. What is not run, and why, is printed.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "sanitize"
LIBRARIES = ("libasan.so", "libubsan.so", "libstdc++.so")   # the last one so that exceptions of C++ extensions are seen
# Looked at in the compiled code only; nothing here would be another test under the sanitizers.
LEFT_OUT = {
    "tests/bench": "measures ratios of time, which the sanitizers change",
    "tests/zcc/connector/test_floods.py": "asks what daemons get done beside a flood, which the sanitizers change",
    "tests/meta": "reads sources and runs nothing that is compiled",
}
PARALLEL = ("--numprocesses=auto", "--dist=worksteal", "--durations=15")
# Whether everything was closed is asked by `make test`; here everything is so slow that ends overtake beginnings.
UNCLOSED = ("-W", "ignore::ResourceWarning")
CHECK = """
import ctypes, fastpath.lpm, pathlib, sys
assert pathlib.Path(fastpath.lpm.__file__).is_relative_to(sys.argv[1]), fastpath.lpm.__file__
maps = pathlib.Path("/proc/self/maps").read_text()
assert "libasan" in maps and "libubsan" in maps
print("imported", flush=True)
ctypes.pythonapi.PyMem_RawMalloc.restype = ctypes.c_void_p
ctypes.memset(ctypes.pythonapi.PyMem_RawMalloc(8), 0, 9)
"""


def main() -> int:
    """Build, make sure that the build is what is imported, run; return the exit code."""
    build = {**os.environ, "ZCC_BUILD": "sanitize"}
    folders = ("--build-lib", str(OUT.relative_to(ROOT) / "lib"), "--build-temp", str(OUT.relative_to(ROOT) / "temp"))
    command = [sys.executable, "setup.py", "-q", "build", *folders]
    built = subprocess.run(
        command, cwd=ROOT, env=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if built.returncode:
        print(built.stdout[-20_000:], file=sys.stderr)
        return built.returncode
    environment = sanitized()
    if not watched(environment):
        return 1
    return subprocess.run(sys.argv[1:] or tests(), cwd=ROOT, env=environment, check=False).returncode


def watched(environment: dict[str, str]) -> bool:
    """Whether the build is what is imported, and a write of one byte too many is found."""
    done = subprocess.run([sys.executable, "-c", CHECK, str(OUT)], env=environment, capture_output=True, text=True, check=False)
    found = done.stdout == "imported\n" and "heap-buffer-overflow" in done.stderr
    print("" if found else f"the sanitizers do not watch:\n{done.stderr[-3000:]}", end="", file=sys.stderr)
    return found


def sanitized() -> dict[str, str]:
    """The environment of a process under the sanitizers.

    Leaks are not looked for: the interpreter itself keeps much to its end, and that would hide ours.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(OUT / "lib"),
        "PYTHONMALLOC": "malloc",           # the interpreter's own pools would hide an overrun between its objects
        "LD_PRELOAD": " ".join(library(name) for name in LIBRARIES),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def library(name: str) -> str:
    """Where the compiler keeps one of its libraries."""
    compiler = os.environ.get("CC", "gcc").split()[-1]
    return subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()


def tests() -> list[str]:
    """The command that runs the suite, a process a core; says what it leaves out."""
    for path, reason in LEFT_OUT.items():
        print(f"sanitize: {path} is not run: it {reason}", flush=True)
    print("sanitize: what a test leaves open is not looked for: `make test` does,", flush=True)
    return [sys.executable, "-m", "pytest", "tests", *(f"--ignore={path}" for path in LEFT_OUT), *PARALLEL, *UNCLOSED]


if __name__ == "__main__":
    sys.exit(main())
