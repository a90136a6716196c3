"""Compile every src/fastpath/*.pyx into one extension each, and src/fastpath/capi/*.pyx into one C library;
all else is in pyproject.toml.

ZCC_BUILD selects a profile: release (default), debug (bounds checks), sanitize (ASan and UBSan).
"""

import os
import platform
import tomllib
from pathlib import Path

from Cython.Build import cythonize
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
compile_args = [*COMPILE[profile], *PORTABLE, "-Wall", "-Wno-unused-function"]
version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]

CAPI = Path("src/fastpath/capi")
# The number is FASTPATH_API_VERSION of fastpath.h. A wheel holds no symbolic links: for the linker, a script stands
# where a link to the library usually does.
LIBRARY = "libfastpath.so.1"
LINKER_SCRIPT = f"INPUT({LIBRARY})\n"
PKG_CONFIG = f"""prefix=${{pcfiledir}}
Name: fastpath
Description: tables and packet formats of fastpath
Version: {version}
Cflags: -I${{prefix}}
Libs: -L${{prefix}} -Wl,-rpath,${{prefix}} -lfastpath
"""


def extension(source: Path) -> Extension:
    """One extension a module, C in the temporary folder, so that no generated file lies under src."""
    made = Extension(f"fastpath.{source.stem}", [str(source)], include_dirs=["src"],
                     extra_compile_args=compile_args, extra_link_args=LINK[profile])
    made.cython_c_in_temp, made.cython_directives = True, directives
    return made


def library() -> Extension:
    """The functions of fastpath.h. Whatever needs Python is dropped by --gc-sections; -z defs fails if something is left.

    The sanitizer's list of global variables would hold on to all of them.
    """
    sections = ["-ffunction-sections", "-fdata-sections", "-fvisibility=hidden",
                *(["--param=asan-globals=0"] if profile == "sanitize" else [])]
    return Extension(
        "fastpath.capi.libfastpath", [str(path) for path in sorted(CAPI.glob("*.pyx"))], include_dirs=["src"],
        define_macros=[("FASTPATH_VERSION", f'"{version}"')], depends=[str(CAPI / "fastpath.h"), str(CAPI / "libfastpath.map")],
        extra_compile_args=[*compile_args, *sections],
        extra_link_args=[*LINK[profile], "-Wl,--gc-sections", "-Wl,-z,defs", f"-Wl,-soname,{LIBRARY}",
                         f"-Wl,--version-script={CAPI / 'libfastpath.map'}"])


class Build(build_ext):
    """The library is a plain shared object of several modules, with a name that linkers know."""

    def get_ext_filename(self, ext_name):
        return LIBRARY if ext_name == "libfastpath" else super().get_ext_filename(ext_name)

    def build_extension(self, ext):
        if ext.name != "fastpath.capi.libfastpath":
            return super().build_extension(ext)
        modules = [Extension(f"fastpath.capi.{Path(source).stem}", [source]) for source in ext.sources]
        made = cythonize(modules, build_dir=self.build_temp, include_path=["src"], compiler_directives=directives,
                         force=self.force, quiet=True)
        ext.sources = [source for module in made for source in module.sources]
        super().build_extension(ext)
        folder = Path(self.get_ext_fullpath(ext.name)).parent
        (folder / "libfastpath.so").write_text(LINKER_SCRIPT)
        (folder / "fastpath.pc").write_text(PKG_CONFIG)


setup(ext_modules=[*(extension(path) for path in sorted(Path("src/fastpath").glob("*.pyx"))), library()],
      cmdclass={"build_ext": Build})
