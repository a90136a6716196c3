# Domain names on the wire: skip one, read one, print one (RFC 1035 §3.1, §4.1.4). Header only. Row 0.

from libc.stdint cimport uint8_t, uint16_t

from fastpath.wire cimport load_be16

cdef enum:
    NAME_MAX = 255       # RFC 1035 §2.3.4, with the root label
    LABEL_MAX = 63
    POINTER = 0xC0       # RFC 1035 §4.1.4: the top two bits set
    JUMPS_MAX = 128      # pointers followed in one name: more than one a label makes no sense


cdef inline uint8_t lower(uint8_t c) noexcept nogil:
    return c + 32 if 65 <= c <= 90 else c


# Offset after the name at `at`, or -1 when it overruns. A pointer ends a name.
cdef inline int skip_name(const uint8_t* message, int n, int at) noexcept nogil:
    while at < n:
        if message[at] == 0:
            return at + 1
        if message[at] >= POINTER:
            return at + 2 if at + 2 <= n else -1
        if message[at] > LABEL_MAX:
            return -1
        at += 1 + message[at]
    return -1


# The name at `at`, lower case and uncompressed, in out (255 bytes); its length, or -1. A pointer must lead to before the
# labels it ends, so that the walk always goes down; jumps are counted too, because a message may be nothing but pointers.
cdef inline int read_name(const uint8_t* message, int n, int at, uint8_t* out) noexcept nogil:
    cdef int length = 0, jumps = 0, run = at, size, i
    while at < n:
        if message[at] >= POINTER:
            jumps += 1
            if at + 2 > n or jumps > JUMPS_MAX or (load_be16(message + at) & 0x3FFF) >= run:
                return -1
            at = run = load_be16(message + at) & 0x3FFF
            continue
        size = 1 + message[at]
        if size > 1 + LABEL_MAX or at + size > n or length + size > NAME_MAX:
            return -1
        out[length] = message[at]
        for i in range(1, size):
            out[length + i] = lower(message[at + i])
        length += size
        at += size
        if size == 1:
            return length
    return -1


# A wire name as text without the final dot, at most 1,020 characters; what is no plain character becomes \DDD
# (RFC 1035 §5.1).
cdef inline int print_name(const uint8_t* name, char* out) noexcept nogil:
    cdef int at = 0, length = 0, end
    cdef uint8_t c
    while name[at]:
        if at:
            out[length] = 46
            length += 1
        end = at + 1 + name[at]
        for at in range(at + 1, end):
            c = name[at]
            if 33 <= c <= 126 and c not in (34, 36, 40, 41, 46, 59, 64, 92):   # " $ ( ) . ; @ \
                out[length] = c
                length += 1
            else:
                out[length], out[length + 1] = 92, 48 + c // 100
                out[length + 2], out[length + 3] = 48 + c // 10 % 10, 48 + c % 10
                length += 4
        at = end
    return length


cdef inline str text_of(const uint8_t* name):
    cdef char out[1020]
    return out[:print_name(name, out)].decode("ascii")
