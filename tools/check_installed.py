"""Install a wheel into a folder of its own, and embed fastpath from there as a user of the wheel would.

    python tools/check_installed.py dist/zcc-….whl

The tests of tests/embedding run on what the wheel holds: C and C++ programs, the examples, the Cython extension, cffi. That the
wheel and not this tree is what they use is checked first. `make wheel` runs this.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHERE = "import fastpath, fastpath.flowtable as f; print(fastpath.__file__, f.__file__, fastpath.get_library())"


def main(wheel: Path) -> int:
    """Print what fails; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="zcc-installed-") as folder:
        site = Path(folder) / "site"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
        subprocess.run([*install, str(wheel)], check=True)
        environment = {**os.environ, "PYTHONPATH": str(site)}
        used = subprocess.run(
            [sys.executable, "-c", WHERE], cwd=folder, env=environment, capture_output=True, text=True, check=True)
        strange = [path for path in used.stdout.split() if not Path(path).is_relative_to(site)]
        if strange:
            print(f"not from the wheel: {', '.join(strange)}")
            return 1
        tests = [sys.executable, "-m", "pytest", "tests/embedding"]
        return subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
