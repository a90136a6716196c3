# Texts that stand for numbers, looked up without the interpreter. Row 1.

from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    LABEL_MAX = 4096           # bytes of one
    COPIED = 32                # bytes that are copied whatever a text's length is; so many lie behind every text's end

cdef struct Label:
    uint32_t number
    uint32_t start             # in texts
    uint32_t length
    uint32_t used

cdef struct Labels:
    Label* places              # open addressing
    uint32_t mask
    uint32_t size
    uint8_t* texts
    uint32_t end               # of what is in texts
    uint32_t room
    uint32_t closed            # a number that is not here has no label

cdef class LabelTable:
    cdef Labels core
    cdef dict given            # number → bytes
    cdef object tell
    cdef int taken             # see turn.pxd; also by whoever reads it without the interpreter
    cdef readonly int most
    # Have the one who tells say what a number is called, and remember it.
    cdef int learn(self, uint32_t number) except -1
    cdef int _restart(self) except -1
    cdef int _add(self, uint32_t number, bytes text) except -1
    cdef int _more_texts(self, uint32_t more) except -1
    cdef int _more_places(self) except -1


cdef inline uint32_t first_place(const Labels* core, uint32_t number) noexcept nogil:
    cdef uint32_t mixed = number * <uint32_t> 0x9E3779B1        # 2**32 divided by the golden ratio
    return (mixed ^ mixed >> 16) & core.mask


# The label of a number; NULL = not known.
cdef inline const Label* find_label(const Labels* core, uint32_t number) noexcept nogil:
    cdef uint32_t at = first_place(core, number)
    while core.places[at].used:
        if core.places[at].number == number:
            return &core.places[at]
        at = at + 1 & core.mask
    return NULL
