"""The two ends of a tunnel over the lab's networks, one core each, and TCP through it."""
