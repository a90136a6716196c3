"""LabelTable: what numbers are called, in bytes that are ready to be written.

Journey: flowlines looks up every label of every line here, without the interpreter. A number that is not known is asked of the
caller once, and remembered. Of numbers that are asked for it remembers `most` and not more: then it forgets all of them and begins
anew, so that who chooses the numbers does not choose its size. It does not know what numbers or texts mean. One thread at a time;
another one's call meanwhile is a RuntimeError.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from fastpath.arguments cimport WORD_MAX, integer, octets
from fastpath.turn cimport check_turn

cdef enum:
    PLACES = 256               # at first, a power of two; they are half full at most
    MOST = 1 << 18
    TEXTS_BYTES = 1 << 26      # of texts that are remembered


@cython.final
cdef class LabelTable:
    """Texts by number.

    Args:
        given: {number: text}, known from the start; numbers are 0 … 2**32 - 1, texts bytes-like, at most 4,096 bytes; b"" is a text.
        tell: tell(number) returns the text of another number; None = the others have none, which is b"".
        most: how many numbers may be remembered, those given included; 1 … 262,144.
    Raises:
        ValueError, TypeError: an argument does not fit.
        MemoryError: no memory.
    """

    def __cinit__(self, given=None, *, tell=None, most=MOST):
        self.most = <int> integer(most, "most", 1, MOST)
        if given is not None and not isinstance(given, dict):
            raise TypeError(f"given must be a dict of texts by number, not {type(given).__name__}")
        if tell is not None and not callable(tell):
            raise TypeError(f"tell must be callable, not {type(tell).__name__}")
        self.given = {
            integer(number, "given: number", 0, WORD_MAX): label_of(text, "given: text")
            for number, text in (given or {}).items()
        }
        if len(self.given) > self.most:
            raise ValueError(f"given must be at most {self.most} texts, not {len(self.given)}")
        self.tell, self.core.closed = tell, tell is None
        self._restart()

    def __dealloc__(self):
        free(self.core.places)
        free(self.core.texts)

    def __len__(self):
        """How many numbers it knows."""
        return self.core.size

    def forget(self):
        """Ask again for every number that was not given."""
        check_turn(&self.taken, "label table")
        self._restart()

    cdef int learn(self, uint32_t number) except -1:
        cdef bytes text = label_of(self.tell(number), "what tell returns")
        if self.core.size >= <uint32_t> self.most or self.core.end >= TEXTS_BYTES:
            self._restart()
        if self.core.size < <uint32_t> self.most:
            self._add(number, text)
            return 0
        raise ValueError(f"most: all {self.most} texts are given, and there is no room for that of {number}")

    cdef int _restart(self) except -1:
        cdef Label* places = <Label*> calloc(PLACES, sizeof(Label))
        if places == NULL:
            raise MemoryError("label table: no memory")
        free(self.core.places)
        self.core.places, self.core.mask = places, PLACES - 1
        self.core.size = self.core.end = 0
        for number, text in self.given.items():
            self._add(number, text)
        return 0

    cdef int _add(self, uint32_t number, bytes text) except -1:
        cdef Label label
        cdef const uint8_t* source = text
        if self.core.texts == NULL or self.core.end + len(text) + COPIED > self.core.room:
            self._more_texts(<uint32_t> len(text))
        if 2 * (self.core.size + 1) > self.core.mask + 1:
            self._more_places()
        label.number, label.start, label.length, label.used = number, self.core.end, <uint32_t> len(text), 1
        memcpy(self.core.texts + self.core.end, source, label.length)
        self.core.end += label.length
        place(&self.core, &label)
        self.core.size += 1
        return 0

    cdef int _more_texts(self, uint32_t more) except -1:
        cdef uint32_t room = 2 * (self.core.end + more) + LABEL_MAX
        cdef uint8_t* texts = <uint8_t*> realloc(self.core.texts, room)
        if texts == NULL:
            raise MemoryError("label table: no memory")
        self.core.texts, self.core.room = texts, room
        return 0

    cdef int _more_places(self) except -1:
        cdef Labels wider = self.core
        cdef uint32_t k
        wider.mask = 2 * self.core.mask + 1
        wider.places = <Label*> calloc(wider.mask + 1, sizeof(Label))
        if wider.places == NULL:
            raise MemoryError("label table: no memory")
        for k in range(self.core.mask + 1):
            if self.core.places[k].used:
                place(&wider, &self.core.places[k])
        free(self.core.places)
        self.core = wider
        return 0


cdef void place(Labels* core, const Label* label) noexcept nogil:
    cdef uint32_t at = first_place(core, label.number)
    while core.places[at].used:
        at = at + 1 & core.mask
    core.places[at] = label[0]


cdef bytes label_of(object text, str name):
    cdef bytes label = octets(text, name)
    if len(label) > LABEL_MAX:
        raise ValueError(f"{name} must be at most {LABEL_MAX} bytes, not {len(label)}")
    return label
