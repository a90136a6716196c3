"""Guards that hold for the whole suite.

`tests` is on the path so that tests may say `from model import lpm`; tests/fastpath, tests/zcc and tests/bench must therefore
stay plain folders: an __init__.py in one of them would shadow the package of that name.
"""

from pathlib import Path

from hypothesis import settings

# How long an example takes is the machine's affair, above all under the sanitizers.
settings.register_profile("zcc", deadline=None)
settings.load_profile("zcc")

for _shadow in ("fastpath", "zcc", "bench"):
    if (Path(__file__).parent / _shadow / "__init__.py").exists():
        raise RuntimeError(f"remove tests/{_shadow}/__init__.py: it shadows the package {_shadow}")
