"""What the daemons tell: session, DNS, tunnel and event logs as JSON lines, and Prometheus metrics.

Nothing here may slow or stop the journey of a packet: writers are bounded, what is lost is counted and said.
The operational log is the standard library's logging on standard error.
"""
