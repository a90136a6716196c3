"""Build the sdist and from it the wheel, in a copy of the tree, and look at what is inside and what was said.

The wheel holds .so, .pxd and .pyi of every compiled module, the C interface, and no .pyx and no .c; the sdist holds
what is needed to build it. The log may have no performance hint: it would mean that a nogil function takes the lock. Then
the wheel is installed and embedded (check_installed). `make check` runs this; it is too slow for the tests.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import check_installed

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "*.so", "*.so.*", "*.pc", "__pycache__", ".*_cache"
)
# What C programs need of fastpath/capi, beside the header: the library, the linker's name for it, pkg-config's file.
C_INTERFACE = ("__init__.py", "fastpath.h", "libfastpath.so.1", "libfastpath.so", "fastpath.pc")
# What Cython says when a function without a complete error contract costs the interpreter lock.
FORBIDDEN_IN_LOG = ("performance hint",)


def main() -> int:
    """Print each problem; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="zcc-wheel-") as folder:
        tree, out = Path(folder) / "tree", Path(folder) / "out"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)]
        built = subprocess.run(
            command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if built.returncode:
            print(built.stdout[-20_000:])
            return 1
        problems = [*log_problems(built.stdout), *wheel_problems(out), *sdist_problems(out)]
        [wheel] = out.glob("*.whl")
        if check_installed.main(wheel):
            problems.append(f"{wheel.name}: can not be embedded")
    for problem in problems:
        print(problem)
    print(f"wheel: {len(problems)} problems")
    return bool(problems)


def log_problems(log: str) -> list[str]:
    """Return the lines of the build's log that may not be there."""
    return [line for line in log.splitlines() if any(text in line for text in FORBIDDEN_IN_LOG)]


def wheel_problems(out: Path) -> list[str]:
    """Return what the wheel has too much or too little."""
    [wheel] = out.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"fastpath/capi/{name}" for name in C_INTERFACE}
    for source in (ROOT / "src" / "fastpath").iterdir():
        if source.suffix in (".pxd", ".pyi", ".py", ".typed"):
            wanted.add(f"fastpath/{source.name}")
    wanted |= {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "zcc").rglob("*.py")}
    modules = {path.stem for path in (ROOT / "src" / "fastpath").glob("*.pyx")}
    compiled = {name.split("/")[1].split(".")[0] for name in names if name.endswith(".so")}
    refused = [
        name for name in names if name.endswith((".c", ".pyx")) or name.startswith(("tests/", "bench/"))
    ]
    return [
        *(f"{wheel.name}: {name} is missing" for name in sorted(wanted - names)),
        *(f"{wheel.name}: the compiled {name} is missing" for name in sorted(modules - compiled)),
        *(f"{wheel.name}: {name} should not be inside" for name in sorted(refused)),
    ]


def sdist_problems(out: Path) -> list[str]:
    """Return what the source distribution lacks."""
    [sdist] = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        f"src/fastpath/{path.name}"
        for path in (ROOT / "src" / "fastpath").iterdir()
        if path.suffix in (".pyx", ".pxd")
    }
    wanted |= {
        f"src/fastpath/capi/{path.name}"
        for path in (ROOT / "src" / "fastpath" / "capi").iterdir()
        if path.suffix in (".pyx", ".pxd", ".h", ".map")
    }
    return [f"{sdist.name}: {name} is missing" for name in sorted({*wanted, "LICENSE", "README.md"} - names)]


if __name__ == "__main__":
    sys.exit(main())
