"""`python -m zcc` is `zcc`."""

from zcc.cli import main

main()
