"""Build the extension: Cython finds fastpath's .pxd files by the package's name."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import fastpath

meter = Extension("meter", ["meter.pyx"], include_dirs=[fastpath.get_include()], extra_compile_args=["-O2"])
setup(ext_modules=cythonize([meter], compiler_directives={"language_level": 3}))
