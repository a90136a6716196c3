"""bpf: the system call behind eBPF maps, programs and links, without libbpf.

Journey: when ports are opened, and for maps that a worker feeds. Descriptors are plain ints that the caller closes; a link's
program leaves its interface when the link's last descriptor is closed, so it can not outlive a process.

Source: bpf(2), linux/bpf.h (union bpf_attr).
"""

from libc.errno cimport errno
from libc.stdint cimport INT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath.arguments cimport integer

import os

cdef extern from *:
    """
    #include <sys/syscall.h>
    #include <unistd.h>
    #ifndef SYS_bpf
    #error "this platform's headers do not know bpf(2)"
    #endif
    """
    long syscall(long number, ...) nogil
    enum:
        SYS_bpf

cdef enum:
    MAP_CREATE = 0
    MAP_LOOKUP = 1
    MAP_UPDATE = 2
    MAP_DELETE = 3
    PROG_LOAD = 5
    PROG_RUN = 10
    LINK_CREATE = 28
    LOG_BYTES = 1 << 16
    VALUE_MAX = 1 << 20

MAP_HASH, MAP_ARRAY, MAP_XSK = 1, 2, 17
PROGRAM_SOCKET_FILTER, PROGRAM_SCHED_CLS, PROGRAM_XDP = 1, 3, 6
ATTACH_XDP, ATTACH_TCX_INGRESS = 37, 46
XDP_HAS_FRAGS = 1 << 5           # program_load flags
XDP_GENERIC, XDP_DRIVER = 2, 4   # link_create flags: the hook above every driver, or the driver's own
LIVE_FRAMES = 2                  # run flags
MMAPABLE = 1 << 10               # map_create flags

# As many of union bpf_attr's words as any command here uses; the kernel takes a shorter one as if zeros followed.
cdef union Attr:
    uint32_t words[32]
    uint64_t longs[16]


cdef long call(int command, Attr* attr) noexcept nogil:
    return syscall(SYS_bpf, <long> command, attr, <long> sizeof(Attr))


cdef int element(int command, int fd, const void* key, const void* value, uint64_t flags) noexcept nogil:
    cdef Attr attr
    memset(&attr, 0, sizeof(attr))
    attr.words[0] = fd
    attr.longs[1], attr.longs[2], attr.longs[3] = <uint64_t> key, <uint64_t> value, flags
    return <int> call(command, &attr)


cdef int update_element(int fd, const void* key, const void* value, uint64_t flags) noexcept nogil:
    return element(MAP_UPDATE, fd, key, value, flags)


cdef int look_up_element(int fd, const void* key, void* value) noexcept nogil:
    return element(MAP_LOOKUP, fd, key, value, 0)


cdef int delete_element(int fd, const void* key) noexcept nogil:
    return element(MAP_DELETE, fd, key, NULL, 0)


cdef int whole(object value, str name) except -1:
    """What the kernel takes as an int of its own."""
    return <int> integer(value, name, 0, INT32_MAX)


cdef long checked(long result, str what) except -1:
    if result < 0:
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return result


def map_create(kind, key_bytes, value_bytes, entries, flags=0):
    """Make a map; return its descriptor. Raises OSError."""
    cdef Attr attr
    memset(&attr, 0, sizeof(attr))
    for i, (name, value) in enumerate((("kind", kind), ("key_bytes", key_bytes), ("value_bytes", value_bytes),
                                       ("entries", entries), ("flags", flags))):
        attr.words[<int> i] = whole(value, name)
    return checked(call(MAP_CREATE, &attr), "BPF map")


def map_update(fd, bytes key not None, bytes value not None):
    """Set an element; both must be as long as the map's. Raises OSError."""
    checked(update_element(whole(fd, "fd"), <const uint8_t*> key, <const uint8_t*> value, 0), "BPF map element")


def map_lookup(fd, bytes key not None, value_bytes):
    """Return the element at key, `value_bytes` long as the map's, or None."""
    value = bytearray(integer(value_bytes, "value_bytes", 1, VALUE_MAX))
    cdef uint8_t[::1] view = value
    return bytes(value) if look_up_element(whole(fd, "fd"), <const uint8_t*> key, &view[0]) == 0 else None


def program_load(kind, bytes code not None, *, flags=0, attach=0):
    """Have the kernel verify and take a program; return its descriptor.

    Raises:
        OSError: refused; with the verifier's last words where it had any.
    """
    cdef Attr attr
    log = bytearray(LOG_BYTES)
    cdef uint8_t[::1] view = log
    cdef int level
    for level in range(2):      # a log only for a program that failed: it costs, and its buffer may be too small
        memset(&attr, 0, sizeof(attr))
        attr.words[0], attr.words[1] = whole(kind, "kind"), len(code) // 8
        attr.longs[1], attr.longs[2] = <uint64_t> <const uint8_t*> code, <uint64_t> <const char*> b"Apache-2.0"
        if level:
            attr.words[6], attr.words[7], attr.longs[4] = 1, LOG_BYTES, <uint64_t> &view[0]
        attr.words[11], attr.words[17] = whole(flags, "flags"), whole(attach, "attach")
        fd = call(PROG_LOAD, &attr)
        if fd >= 0:
            return fd
    number, said = errno, bytes(log).rstrip(b"\0").decode(errors="replace").strip()
    said = said[max(0, len(said) - 300):]
    raise OSError(number, f"BPF program: {os.strerror(number)}" + (f": {said}" if said else ""))


def link_create(program_fd, interface_index, attach, flags=0):
    """Attach a program to an interface for as long as the descriptor returned is open. Raises OSError."""
    cdef Attr attr
    memset(&attr, 0, sizeof(attr))
    for i, (name, value) in enumerate((("program_fd", program_fd), ("interface_index", interface_index), ("attach", attach),
                                       ("flags", flags))):
        attr.words[<int> i] = whole(value, name)
    return checked(call(LINK_CREATE, &attr), "BPF link")


def run(program_fd, bytes frame not None, repeat, *, batch=0, flags=0):
    """Run an XDP program over a frame `repeat` times; with LIVE_FRAMES its verdicts are carried out. Return its last r0.

    Raises:
        OSError: refused, or interrupted by a signal.
    """
    cdef Attr attr
    context = bytearray(24)      # xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    context[4:8] = len(frame).to_bytes(4, "little")
    cdef uint8_t[::1] view = context
    memset(&attr, 0, sizeof(attr))
    attr.words[0], attr.words[2], attr.words[8] = whole(program_fd, "program_fd"), len(frame), whole(repeat, "repeat")
    attr.longs[2] = <uint64_t> <const uint8_t*> frame
    attr.words[10] = len(context)
    attr.longs[6] = <uint64_t> &view[0]
    attr.words[16], attr.words[18] = whole(flags, "flags"), whole(batch, "batch")
    cdef long result
    with nogil:
        result = call(PROG_RUN, &attr)
    checked(result, "BPF run")
    return attr.words[1]
