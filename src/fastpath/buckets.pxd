# An index from 40-byte keys to the slots of the table that holds them: one cache line a bucket. Row 0.
#
# The keys are the first 40 bytes of the slots (five words each); the index holds one byte of hash and the slot's number.
# A key lies in its home bucket, or, when that was full, in the first bucket after it that was not; `passed` counts the
# keys that went on beyond a bucket, so a search stops where nothing ever went on. Built for at most 7 keys in 12 places
# (58 % full): then one search in thirty looks at a second bucket. The hash must be keyed: homes are chosen by it.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from fastpath.memory cimport give_pages, prefetch, take_pages

cdef extern from *:
    """
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif
    /* Bit i of the result: tags[i] == tag, i in 0 ... 11. */
    static inline unsigned fastpath_match12(const unsigned char *tags, unsigned char tag) {
    #ifdef __SSE2__
        __m128i have = _mm_load_si128((const __m128i *) tags);
        return (unsigned) _mm_movemask_epi8(_mm_cmpeq_epi8(have, _mm_set1_epi8((char) tag))) & 0xFFFu;
    #else
        unsigned found = 0;
        for (int i = 0; i < 12; i++) found |= (unsigned) (tags[i] == tag) << i;
        return found;
    #endif
    }
    #define fastpath_lowest(mask) __builtin_ctz(mask)
    """
    unsigned match12 "fastpath_match12" (const uint8_t* tags, uint8_t tag) noexcept nogil
    int lowest "fastpath_lowest" (unsigned mask) noexcept nogil

cdef enum:
    PLACES = 12
    PLACES_FILLED = 7

# 64 bytes, one cache line.
cdef struct Bucket:
    uint8_t tags[12]         # 0, 0 = free place
    uint32_t passed          # 12, keys whose home is here or before and that lie further on
    int32_t slots[12]        # 16, valid iff the tag is not 0

cdef struct Buckets:
    Bucket* buckets
    uint32_t count


cdef inline int open_buckets(Buckets* index, size_t capacity) noexcept nogil:
    """Make room for `capacity` keys; 0 when there is no memory."""
    index.count = <uint32_t> (capacity / PLACES_FILLED + 2)
    index.buckets = <Bucket*> take_pages(index.count, sizeof(Bucket))
    return index.buckets is not NULL


cdef inline void close_buckets(Buckets* index) noexcept nogil:
    give_pages(index.buckets, index.count, sizeof(Bucket))
    index.buckets = NULL


cdef inline uint32_t home(const Buckets* index, uint64_t hash) noexcept nogil:
    return <uint32_t> (((hash >> 32) * index.count) >> 32)


cdef inline uint8_t tag_of(uint64_t hash) noexcept nogil:
    cdef uint8_t tag = <uint8_t> hash
    return tag + (tag == 0)


cdef inline bint same_key(const uint64_t* a, const uint64_t* b) noexcept nogil:
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4])) == 0


cdef inline int32_t find_key(const Buckets* index, uint64_t hash, const uint64_t* key,
                             const uint8_t* slots, size_t slot_bytes) noexcept nogil:
    """The slot whose first 40 bytes are `key`, or -1."""
    cdef uint32_t at = home(index, hash), left = index.count
    cdef uint8_t tag = tag_of(hash)
    cdef unsigned mask
    cdef int32_t slot
    while left:
        left -= 1
        mask = match12(index.buckets[at].tags, tag)
        while mask:
            slot = index.buckets[at].slots[lowest(mask)]
            if same_key(<const uint64_t*> (slots + slot * slot_bytes), key):
                return slot
            mask &= mask - 1
        if index.buckets[at].passed == 0:
            return -1
        at = at + 1 if at + 1 < index.count else 0
    return -1


cdef inline void add_slot(Buckets* index, uint64_t hash, int32_t slot) noexcept nogil:
    """Enter a slot whose key is not there yet; the table never holds more keys than were provided for."""
    cdef uint32_t at = home(index, hash)
    cdef unsigned free = match12(index.buckets[at].tags, 0)
    while not free:
        index.buckets[at].passed += 1
        at = at + 1 if at + 1 < index.count else 0
        free = match12(index.buckets[at].tags, 0)
    index.buckets[at].tags[lowest(free)] = tag_of(hash)
    index.buckets[at].slots[lowest(free)] = slot


cdef inline void drop_slot(Buckets* index, uint64_t hash, int32_t slot) noexcept nogil:
    """Take out a slot that was entered with this hash."""
    cdef uint32_t at = home(index, hash), left = index.count
    cdef uint8_t tag = tag_of(hash)
    cdef unsigned mask
    while left:
        left -= 1
        mask = match12(index.buckets[at].tags, tag)
        while mask:
            if index.buckets[at].slots[lowest(mask)] == slot:
                index.buckets[at].tags[lowest(mask)] = 0
                return
            mask &= mask - 1
        index.buckets[at].passed -= 1
        at = at + 1 if at + 1 < index.count else 0
