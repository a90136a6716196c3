"""zcc: an open zero-trust gateway for cloud workloads.

Decisions, protocols and people; the packets are fastpath's.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
