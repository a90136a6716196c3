"""Compile every src/fastpath/*.pyx into one extension each; all else is in pyproject.toml.

ZCC_BUILD selects a profile: release (default), debug (bounds checks), sanitize (ASan and UBSan).
"""

import os
import platform
from pathlib import Path

from Cython.Distutils import build_ext
from setuptools import Extension, setup

PORTABLE = {"x86_64": ["-march=x86-64-v2"], "aarch64": ["-march=armv8-a"]}.get(platform.machine(), [])
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
COMPILE = {"release": ["-O3"], "debug": ["-O1", "-g"], "sanitize": ["-O1", "-g", *SANITIZE]}
LINK = {"release": [], "debug": [], "sanitize": SANITIZE}

profile = os.environ.get("ZCC_BUILD", "release")
checked = profile != "release"
directives = {
    "language_level": 3, "auto_pickle": False, "cdivision": True, "embedsignature": False,
    "boundscheck": checked, "wraparound": False, "initializedcheck": checked, "warn.unused": True,
}


def extension(source: Path) -> Extension:
    """One extension a module, C in the temporary folder, so that no generated file lies under src."""
    made = Extension(f"fastpath.{source.stem}", [str(source)], include_dirs=["src"],
                     extra_compile_args=[*COMPILE[profile], *PORTABLE, "-Wall", "-Wno-unused-function"],
                     extra_link_args=LINK[profile])
    made.cython_c_in_temp, made.cython_directives = True, directives
    return made


setup(ext_modules=[extension(path) for path in sorted(Path("src/fastpath").glob("*.pyx"))],
      cmdclass={"build_ext": build_ext})
