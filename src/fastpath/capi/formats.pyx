"""libfastpath, formats: packets, checksums, Geneve and GWLB headers, flow keys. Rules of the folder: see library.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.batch cimport Columns
from fastpath.capi.header cimport *
from fastpath.capi.onepacket cimport PACKET_MAX, OnePacket, one_packet
from fastpath.checksum cimport add, fold, update16
from fastpath.flowkey cimport FlowKey, HashKey, hash_key, make
from fastpath.geneve cimport (GENEVE_BASE_BYTES, GENEVE_FLAG_CONTROL, GENEVE_FLAG_CRITICAL, GENEVE_OPTION_DATA_MAX,
                              GENEVE_OPTIONS_MAX, option_size, put, write_base, write_option)
from fastpath.geneve cimport decode as decode_geneve
from fastpath.gwlb cimport GWLB_HEADER_BYTES, write_header
from fastpath.gwlb cimport decode as decode_gwlb
from fastpath.packet cimport parse_row
from fastpath.wire cimport load_be16

cdef extern from *:
    """
    typedef char fastpath_key_has_40_bytes[sizeof(struct fastpath_flow_key) == 40 ? 1 : -1];
    #define fastpath_ones64(x) __builtin_popcountll(x)
    """
    int ones64 "fastpath_ones64" (uint64_t x) noexcept nogil

cdef enum:
    SECRET_ONES_MIN = 8          # of 64 bits; one random word in 10^10 has fewer


# ---- packets ----

cdef public int fastpath_packet_parse(const uint8_t* data, size_t size, fastpath_packet* packet,
                                      size_t packet_size) noexcept nogil:
    cdef OnePacket row
    cdef fastpath_packet made
    cdef int reason
    if data is NULL or size > PACKET_MAX or packet is NULL or packet_size < sizeof(fastpath_packet):
        return FASTPATH_EINVAL
    memset(&made, 0, sizeof(made))
    reason = parse_row(one_packet(&row, data, size), 0)
    if not reason:
        memcpy(made.source, row.source, 16)
        memcpy(made.destination, row.destination, 16)
        made.length, made.l4_start = row.inner_length, row.l4_start
        made.source_port, made.destination_port = row.source_port, row.destination_port
        made.ip_version, made.protocol = row.ip_version, row.protocol
        made.fragment, made.tcp_flags = row.fragment, row.tcp_flags
    give(packet, packet_size, &made, sizeof(made))
    return reason


cdef public int fastpath_checksum(const uint8_t* data, size_t size, uint16_t* checksum) noexcept nogil:
    if data is NULL and size or size > PACKET_MAX or checksum is NULL:
        return FASTPATH_EINVAL
    checksum[0] = fold(add(data, <int> size, 0))
    return FASTPATH_OK


cdef public uint16_t fastpath_checksum_update(uint16_t checksum, uint16_t old_word, uint16_t new_word) noexcept nogil:
    return update16(checksum, old_word, new_word)


# ---- Geneve ----

cdef public int fastpath_geneve_decode(const uint8_t* data, size_t size, fastpath_geneve* geneve,
                                       size_t geneve_size) noexcept nogil:
    cdef OnePacket row
    cdef fastpath_geneve made
    if data is NULL or size > PACKET_MAX or geneve is NULL or geneve_size < sizeof(fastpath_geneve):
        return FASTPATH_EINVAL
    memset(&made, 0, sizeof(made))
    if decode_geneve(one_packet(&row, data, size)):
        made.vni, made.protocol = row.vni, load_be16(data + 2)
        made.header_size, made.flags = row.geneve_length, row.geneve_flags
    give(geneve, geneve_size, &made, sizeof(made))
    return row.reason


cdef public int fastpath_geneve_next_option(const uint8_t* header, size_t size, size_t* offset, fastpath_geneve_option* option,
                                            size_t option_room) noexcept nogil:
    cdef fastpath_geneve_option made
    cdef size_t at, end
    cdef int whole
    if header is NULL or offset is NULL or option is NULL or option_room < sizeof(fastpath_geneve_option):
        return FASTPATH_EINVAL
    if size < GENEVE_BASE_BYTES:
        return FASTPATH_GENEVE_SHORT
    end = GENEVE_BASE_BYTES + 4 * (header[0] & 0x3F)
    at = offset[0] if offset[0] else GENEVE_BASE_BYTES
    if at < GENEVE_BASE_BYTES or at > end:
        return FASTPATH_EINVAL
    if end > size:
        return FASTPATH_GENEVE_SHORT
    if at == end:
        return FASTPATH_ENOENT
    whole = option_size(header + at, <int> (end - at))
    if whole < 0:
        return FASTPATH_GENEVE_OPTION_OVERRUN
    memset(&made, 0, sizeof(made))
    made.data, made.option_class, made.type, made.size = header + at + 4, load_be16(header + at), header[at + 2], whole - 4
    give(option, option_room, &made, sizeof(made))
    offset[0] = at + whole
    return FASTPATH_OK


cdef inline int options_bytes(const fastpath_geneve_option* options, size_t n) noexcept nogil:
    """What the options take in a header; -1 if one or all of them do not fit."""
    cdef size_t i
    cdef int total = 0
    for i in range(n):
        if options[i].size % 4 or options[i].size > GENEVE_OPTION_DATA_MAX or options[i].size and options[i].data is NULL:
            return -1
        total += 4 + options[i].size
        if total > GENEVE_OPTIONS_MAX:
            return -1
    return total


cdef public int fastpath_geneve_encode(const fastpath_geneve* geneve, size_t geneve_size, const fastpath_geneve_option* options,
                                       size_t n, uint8_t* out, size_t room, size_t* size) noexcept nogil:
    cdef int total, at = GENEVE_BASE_BYTES
    cdef size_t i
    if geneve is NULL or geneve_size < sizeof(fastpath_geneve) or out is NULL or size is NULL or options is NULL and n:
        return FASTPATH_EINVAL
    if geneve.vni >> 24 or geneve.flags & ~(GENEVE_FLAG_CONTROL | GENEVE_FLAG_CRITICAL):
        return FASTPATH_EINVAL
    total = options_bytes(options, n)
    if total < 0:
        return FASTPATH_EINVAL
    if room < <size_t> (GENEVE_BASE_BYTES + total):
        return FASTPATH_EROOM
    write_base(out, total, geneve.flags, geneve.protocol, geneve.vni)
    for i in range(n):
        write_option(out + at, options[i].option_class, options[i].type, options[i].data, options[i].size)
        at += 4 + options[i].size
    size[0] = <size_t> at
    return FASTPATH_OK


# ---- GWLB ----

cdef inline int read_gwlb(OnePacket* row, const uint8_t* data, size_t size) noexcept nogil:
    cdef Columns* b = one_packet(row, data, size)
    if decode_geneve(b):
        decode_gwlb(b)
    return row.reason


cdef public int fastpath_gwlb_decode(const uint8_t* data, size_t size, fastpath_gwlb* gwlb, size_t gwlb_size) noexcept nogil:
    cdef OnePacket row
    cdef fastpath_gwlb made
    if data is NULL or size > PACKET_MAX or gwlb is NULL or gwlb_size < sizeof(fastpath_gwlb):
        return FASTPATH_EINVAL
    memset(&made, 0, sizeof(made))
    if read_gwlb(&row, data, size) == 0:
        made.endpoint, made.attachment, made.cookie = row.endpoint, row.attachment, row.cookie
        made.header_size = row.geneve_length
    give(gwlb, gwlb_size, &made, sizeof(made))
    return row.reason


cdef public int fastpath_gwlb_encode(uint64_t endpoint, uint64_t attachment, uint32_t cookie, unsigned ip_version, uint8_t* out,
                                     size_t room) noexcept nogil:
    if out is NULL or ip_version != 4 and ip_version != 6:
        return FASTPATH_EINVAL
    if room < GWLB_HEADER_BYTES:
        return FASTPATH_EROOM
    write_header(out, endpoint, attachment, cookie, <uint8_t> ip_version)
    return FASTPATH_OK


cdef public int fastpath_gwlb_echo(uint8_t* buffer, size_t size, size_t inner_start, const uint8_t* header, size_t header_size,
                                   size_t* start) noexcept nogil:
    cdef OnePacket row
    if buffer is NULL or size > PACKET_MAX or inner_start > size or start is NULL or header is NULL or \
            header_size > PACKET_MAX or read_gwlb(&row, header, header_size) or row.geneve_length != header_size:
        return FASTPATH_EINVAL
    if header_size > inner_start:
        return FASTPATH_EROOM
    one_packet(&row, buffer, size)
    row.inner_start, row.inner_length = <uint16_t> inner_start, <uint16_t> (size - inner_start)
    put(&row.columns, 0, header, <int> header_size)
    start[0] = row.start
    return FASTPATH_OK


# ---- flow keys ----

cdef public int fastpath_flow_key_of(const fastpath_packet* packet, size_t packet_size, uint16_t space, fastpath_flow_key* key,
                                     int* direction) noexcept nogil:
    cdef FlowKey made
    cdef uint8_t end
    if packet is NULL or packet_size < sizeof(fastpath_packet) or key is NULL or direction is NULL or \
            packet.ip_version != 4 and packet.ip_version != 6:
        return FASTPATH_EINVAL
    make(&made, &end, packet.ip_version, packet.protocol, space, packet.source, packet.source_port,
         packet.destination, packet.destination_port)
    memcpy(key, &made, sizeof(made))
    direction[0] = end
    return FASTPATH_OK


cdef inline bint is_random(const HashKey* secret) noexcept nogil:
    """Not zeros, and not a number in the first bytes: most keys would then share a hash, and a table become a list."""
    cdef int k
    for k in range(4):
        if ones64(secret.words[k]) < SECRET_ONES_MIN:
            return False
    return True


cdef public int fastpath_flow_hash(const fastpath_flow_key* key, const uint8_t* secret, size_t secret_size,
                                   uint64_t* hash) noexcept nogil:
    cdef FlowKey words
    cdef HashKey secret_words
    if key is NULL or secret is NULL or secret_size != FASTPATH_SECRET_SIZE or hash is NULL:
        return FASTPATH_EINVAL
    memcpy(&words, key, sizeof(words))
    memcpy(&secret_words, secret, sizeof(secret_words))
    if not is_random(&secret_words):
        return FASTPATH_EINVAL
    hash[0] = hash_key(&words, &secret_words)
    return FASTPATH_OK
