from enum import IntEnum, IntFlag

class TimeoutClass(IntEnum):
    TIMEOUT_TCP = 0
    TIMEOUT_TCP_OPENING = 1
    TIMEOUT_TCP_CLOSING = 2
    TIMEOUT_UDP = 3
    TIMEOUT_ICMP = 4
    TIMEOUT_OTHER = 5

class FlowState(IntFlag):
    FLOW_SEEN_REPLY = 1
    FLOW_FIN_FORWARD = 2
    FLOW_FIN_REVERSE = 4
    FLOW_RESET = 8
    FLOW_KERNEL_INSIDE = 16
    FLOW_BOUND = 32
    FLOW_PINNED = 64
    FLOW_ACKNOWLEDGED = 128
