"""Idle times of ports: from the file to the data plane's numbers, and what such a file may say."""

import pytest
from pydantic import ValidationError

from zcc.connector.plan import idle_times
from zcc.connector.settings import IngressSettings

ADDRESS = "10.1.200.11"


def times(*lines):
    return idle_times(IngressSettings(address=ADDRESS, idle_ports=lines))


def test_shorter_times_leave_the_class_alone():
    idle, ports = times({"protocol": "udp", "ports": 53, "idle": "10s"})
    assert (idle["udp"], idle["tcp"]) == (130, 400)
    assert ports == ((17, 53, 53, 10.0),)


def test_a_longer_time_becomes_the_class_s_and_all_other_ports_keep_theirs():
    idle, ports = times({"protocol": "tcp", "ports": 22, "idle": "2h"}, {"protocol": "tcp", "ports": "80-90", "idle": "60s"})
    assert (idle["tcp"], idle["udp"]) == (7200, 130)
    assert ports == ((6, 0, 65_535, 400.0), (6, 22, 22, 7200.0), (6, 80, 90, 60.0))


@pytest.mark.parametrize("line", [{"protocol": "icmp", "ports": 1, "idle": "9s"},
                                  {"protocol": "udp", "ports": "9-3", "idle": "9s"},
                                  {"protocol": "udp", "ports": 53, "idle": "1ms"}])
def test_wrong_lines_are_refused(line):
    with pytest.raises(ValidationError):
        times(line)
