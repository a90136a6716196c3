"""Measurements: `python -m bench NAME|all [--json] [--quick]`; how to read them is in README.md beside this file."""
