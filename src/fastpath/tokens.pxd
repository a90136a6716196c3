# A bucket of tokens as the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371). Header only. Row 0.

from libc.stdint cimport uint64_t


cdef inline bint take_token(uint64_t* full_ns, uint64_t now_ns, uint64_t each_ns, uint64_t at_once) noexcept nogil:
    """Take one of a bucket of `at_once` that gets one every each_ns; False: there is none, and nothing has changed."""
    if full_ns[0] > now_ns + (at_once - 1) * each_ns:
        return False
    full_ns[0] = (full_ns[0] if full_ns[0] > now_ns else now_ns) + each_ns
    return True
