"""The stages of an internet edge's batches, for callers in Python as enumerations. Declared in stages.pxd."""
