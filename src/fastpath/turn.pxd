# Turns: a table that belongs to one thread at a time, kept from a second one by mistake. Row 0.
#
# A call from Python gives the interpreter lock up while it works on a table; another thread's call would then find the table half
# changed, and break it. So whoever works takes the turn, and whoever comes meanwhile is refused: RuntimeError. Both happen under
# the interpreter lock, so that an int is enough; nobody waits. The worker, which calls from C, has its tables to itself.


cdef inline int check_turn(const int* taken, str what) except -1:
    """Nobody else is inside."""
    if taken[0]:
        raise RuntimeError(f"the {what} is in use by another thread: it belongs to one at a time")
    return 0


cdef inline int take_turn(int* taken, str what) except -1:
    """Inside, until the caller sets it back to 0."""
    check_turn(taken, what)
    taken[0] = 1
    return 0
