"""Compare every .pyi of fastpath with the compiled module that it describes, by mypy's stubtest.

`make check` runs this. A module without a .pyi is a problem too, reported by tests/meta.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FASTPATH = ROOT / "src" / "fastpath"
# Names that Cython puts into every module and that no caller uses; regular expressions. __all__ is for tests and
# star imports; __buffer__ exists for type checkers, at run time only since Python 3.12 (PEP 688).
ALLOWED = r"""
fastpath\..*\.__test__
fastpath\..*\.__pyx_.*
fastpath\..*\.__reduce_cython__
fastpath\..*\.__setstate_cython__
fastpath\..*\.__all__
fastpath\..*\.__buffer__
"""


def main() -> int:
    """Run stubtest over all stubs; return its exit code."""
    modules = [f"fastpath.{path.stem}" for path in sorted(FASTPATH.glob("*.pyi"))]
    allowed = ROOT / ".venv" / "stubtest-allowed"
    allowed.write_text(ALLOWED.strip() + "\n")
    command = [
        sys.executable,
        "-m",
        "mypy.stubtest",
        "--concise",
        "--ignore-unused-allowlist",
        "--allowlist",
        str(allowed),
        *modules,
    ]
    return subprocess.run(command, cwd=ROOT / "src", check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
