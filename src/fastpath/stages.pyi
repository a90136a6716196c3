from enum import IntEnum

class Want(IntEnum):
    WANT_NOTHING = 0
    WANT_GATE = 1
    WANT_CONTROL = 2
    WANT_FLOWS = 3
    WANT_EXPIRED = 4
    WANT_ERRORS = 5
    WANT_WAYS = 6
    WANT_CUT = 7

class Stage(IntEnum):
    STAGE_OPEN = 0
    STAGE_REOPEN = 1
    STAGE_DECODE = 2
    STAGE_LOOK_UP = 3
    STAGE_ACCOUNT = 4
    STAGE_LEAVE = 5
    STAGE_LEFT = 6
    STAGE_PARSE = 7
    STAGE_FIND = 8
    STAGE_RESTORE = 9
    STAGE_ENTER = 10
    STAGE_ENTERED = 11
