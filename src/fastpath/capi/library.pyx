"""libfastpath, about itself: version and texts. Rules of the folder capi:

Its .pyx files are the functions of fastpath.h, for hosts that are not Python. Each checks its arguments and calls the inline
functions that the Python classes are made of too; what it promises stands in fastpath.h and is not repeated here, and the
compiler compares the prototypes. No function touches Python: setup.py links the files into one library from which whatever
needs the interpreter is dropped, and which does not link if something were left. Nothing imports them.
"""

from fastpath.capi.header cimport *

cdef extern from *:
    """
    #ifndef FASTPATH_VERSION
    #error "setup.py gives FASTPATH_VERSION"
    #endif
    """
    const char* VERSION "FASTPATH_VERSION"


cdef public int fastpath_api_version() noexcept nogil:
    return FASTPATH_API_VERSION


cdef public const char* fastpath_version() noexcept nogil:
    return VERSION


cdef public const char* fastpath_strerror(int result) noexcept nogil:
    return error_text(result) if result <= 0 else reason_text(result)


cdef inline const char* error_text(int error) noexcept nogil:
    if error == FASTPATH_OK:
        return "done"
    if error == FASTPATH_EINVAL:
        return "an argument is NULL or out of range"
    if error == FASTPATH_ENOMEM:
        return "the system has not that much memory"
    if error == FASTPATH_ENOENT:
        return "no such prefix, flow or option"
    if error == FASTPATH_EEXIST:
        return "there is a flow with this key already"
    if error == FASTPATH_EFULL:
        return "the flow table is full"
    if error == FASTPATH_EROOM:
        return "the output does not fit its buffer"
    return "unknown"


cdef inline const char* reason_text(int reason) noexcept nogil:
    if reason == FASTPATH_GENEVE_SHORT:
        return "Geneve: fewer bytes than the header says"
    if reason == FASTPATH_GENEVE_VERSION:
        return "Geneve: the version is not 0"
    if reason == FASTPATH_GENEVE_OPTION_OVERRUN:
        return "Geneve: an option goes beyond the header"
    if reason == FASTPATH_GENEVE_PROTOCOL:
        return "Geneve: neither IPv4 nor IPv6 follows, and the O bit is not set"
    if reason == FASTPATH_GWLB_OPTION_MISSING:
        return "GWLB: not all of the options 1, 2 and 3 of class 0x0108 are there"
    if reason == FASTPATH_GWLB_OPTION_LENGTH:
        return "GWLB: an option of class 0x0108 has the wrong length"
    if reason == FASTPATH_GWLB_HEADER_LONG:
        return "GWLB: the header is too long to be echoed"
    return packet_text(reason)


cdef inline const char* packet_text(int reason) noexcept nogil:
    if reason == FASTPATH_PACKET_SHORT:
        return "IP: fewer bytes than a header has"
    if reason == FASTPATH_PACKET_VERSION:
        return "IP: neither version 4 nor 6"
    if reason == FASTPATH_PACKET_HEADER_LENGTH:
        return "IPv4: a header length below 20 bytes"
    if reason == FASTPATH_PACKET_TOTAL_LENGTH:
        return "IP: a length that is more than there is, or impossible"
    if reason == FASTPATH_PACKET_EXTENSION_CHAIN:
        return "IPv6: extension headers that overrun the packet, or too many"
    if reason == FASTPATH_PACKET_L4_SHORT:
        return "IP: fewer bytes than a TCP, UDP or ICMP header has"
    if reason == FASTPATH_PACKET_SOURCE_ROUTE:
        return "IP: a route named by the sender"
    return "unknown"
