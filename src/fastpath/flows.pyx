"""The flow table's structures and functions for compiled callers; in Python only their enumerations. Declared in flows.pxd."""
