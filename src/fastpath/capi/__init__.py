"""The C interface: fastpath.h and libfastpath, and where a compiler and a linker find them. See docs/embedding.md.

Pure Python, for build scripts. The .pyx files beside this one make the library and are not modules.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent


def get_include() -> str:
    """Return the folder of fastpath.h.

    Cython finds the .pxd files by the name of the package (`from fastpath.flows cimport …`) and needs no path.
    """
    return str(HERE)


def get_library_dir() -> str:
    """Return the folder of libfastpath, for -L and -rpath; fastpath.pc, for pkg-config, is there too."""
    return str(HERE)


def get_library() -> str:
    """Return the shared library itself, for dlopen, ctypes and cffi.

    Raises:
        FileNotFoundError: the package was not built.
    """
    found = sorted(HERE.glob("libfastpath.so.*"))
    if not found:
        raise FileNotFoundError(f"no libfastpath in {HERE}: build the package (pip install . or make test)")
    return str(found[-1])


def compiler_flags() -> list[str]:
    """Return what a C compiler needs to find fastpath.h."""
    return [f"-I{get_include()}"]


def linker_flags() -> list[str]:
    """Return what a linker needs to find libfastpath, at run time too."""
    return [f"-L{get_library_dir()}", f"-Wl,-rpath,{get_library_dir()}", "-lfastpath"]
