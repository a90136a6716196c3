"""Measurements: `python -m bench NAME|all [--json] [--quick]`; README.md beside this says how to read them."""
