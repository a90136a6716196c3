"""The bench of workers side by side: nothing is lost, and packets are handed over only where they are astray."""

import os

from bench import cores


def test_workers_over_memory_carry_everything_and_hand_over_only_what_is_astray() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    found = cores.medians(True, (cpus * 2)[:2])      # speed is no matter here: one CPU will do
    assert found["pps-1"] > 0 and found["pps-2"] > 0 and found["cpu-2"] > 0
    assert found["moved-share"] > 0
