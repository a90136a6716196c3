# An index from 40-byte keys to the slots of the table that holds them: one cache line a bucket. Row 0. One thread.
#
# A slot begins with its key (five words) and the hash of it (one word); the index holds one byte of hash and the slot's
# number. A key lies in its home bucket, or, when that was full, in the first bucket after it that was not; `passed` counts
# the keys that went on beyond a bucket, so a search stops where nothing ever went on. The hash must be keyed: homes are
# chosen by it.
#
# It grows by doubling, a home at a time: what is entered moves one home of the older array, so no call takes long and every
# key is at any time where its home says:  home in older < moved ─▶ buckets;  else ─▶ older.
# Full, it has 9 keys in 12 places: 3 % of the keys lie outside their home.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from fastpath.memory cimport fill_pages, forget_pages, give_pages, join_pages, prefetch, take_small_pages

cdef extern from *:
    """
    #include <stdint.h>
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
    static inline int fastpath_same_key(const void *a, const void *b) {
        const char *p = (const char *) a, *q = (const char *) b;
        uint64_t u, v;
        memcpy(&u, p + 32, 8);
        memcpy(&v, q + 32, 8);
    #ifdef __SSE2__
        __m128i low = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *) p), _mm_loadu_si128((const __m128i *) q));
        __m128i high = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *) (p + 16)), _mm_loadu_si128((const __m128i *) (q + 16)));
        return (_mm_movemask_epi8(_mm_and_si128(low, high)) == 0xFFFF) & (u == v);
    #else
        return (memcmp(p, q, 32) == 0) & (u == v);
    #endif
    }
    #define fastpath_lowest(mask) __builtin_ctz(mask)
    """
    unsigned match12 "fastpath_match12" (const uint8_t* tags, uint8_t tag) noexcept nogil
    int lowest "fastpath_lowest" (unsigned mask) noexcept nogil
    bint same_key "fastpath_same_key" (const void* a, const void* b) noexcept nogil     # 40 bytes, not aligned

cdef enum:
    PLACES = 12
    PLACES_FILLED = 9            # on average, when the index is as full as it may be
    PLACES_LEFT_TO_GROW = 2      # what is entered while homes move may all go to the older array
    BUCKETS_FIRST = 64           # of an index that has just been made: a page
    FORGET_EVERY = 4096          # buckets: 64 pages, some 30 µs to give back

# 64 bytes, one cache line.
cdef struct Bucket:
    uint8_t tags[12]         # 0, 0 = free place
    uint32_t passed          # 12, keys whose home is here or before and that lie further on
    int32_t slots[12]        # 16, valid iff the tag is not 0

cdef struct Buckets:
    Bucket* buckets
    Bucket* older            # being emptied; NULL: no growth under way
    const uint8_t* slots
    size_t slot_bytes
    size_t size              # keys
    uint32_t count
    uint32_t limit           # buckets of the full-grown index
    uint32_t older_count
    uint32_t moved           # homes of `older` below this one have no keys there any more


cdef inline uint32_t home_in(uint32_t count, uint64_t hash) noexcept nogil:
    return <uint32_t> (((hash >> 32) * count) >> 32)


cdef inline uint8_t tag_of(uint64_t hash) noexcept nogil:
    cdef uint8_t tag = <uint8_t> hash
    return tag + (tag == 0)


cdef inline const uint64_t* key_in(const Buckets* index, int32_t slot) noexcept nogil:
    return <const uint64_t*> (index.slots + <size_t> slot * index.slot_bytes)


cdef inline uint32_t stage(const Buckets* index, uint32_t at_least) noexcept nogil:
    """The least size of at least so many buckets from which doubling leads to the limit."""
    cdef int halvings = 0
    while (index.limit >> (halvings + 1)) >= at_least:
        halvings += 1
    return <uint32_t> ((<uint64_t> index.limit + (<uint64_t> 1 << halvings) - 1) >> halvings)


cdef inline int open_buckets(Buckets* index, size_t capacity, const void* slots, size_t slot_bytes) noexcept nogil:
    """Make an index of at most `capacity` keys, small at first; 0 when there is no memory."""
    index.limit = <uint32_t> (capacity // PLACES_FILLED + 2)
    index.count = stage(index, BUCKETS_FIRST)
    index.slots, index.slot_bytes, index.size = <const uint8_t*> slots, slot_bytes, 0
    index.older, index.older_count, index.moved = NULL, 0, 0
    index.buckets = <Bucket*> take_small_pages(index.count, sizeof(Bucket))
    return index.buckets is not NULL


cdef inline int prepare_buckets(Buckets* index, size_t keys) noexcept nogil:
    """Before the first key: have `keys` of them find the index grown and its memory taken; 0 when there is no memory."""
    cdef uint32_t count = stage(index, <uint32_t> ((keys + PLACES_FILLED - 1) // PLACES_FILLED))
    cdef Bucket* made = <Bucket*> take_small_pages(count, sizeof(Bucket))
    if made is NULL:
        return 0
    give_pages(index.buckets, index.count, sizeof(Bucket))
    index.buckets, index.count = made, count
    fill_pages(made, count * sizeof(Bucket))
    return 1


cdef inline void close_buckets(Buckets* index) noexcept nogil:
    give_pages(index.buckets, index.count, sizeof(Bucket))
    give_pages(index.older, index.older_count, sizeof(Bucket))
    index.buckets = index.older = NULL


cdef inline size_t bytes_of(const Buckets* index) noexcept nogil:
    """The memory of the index."""
    return sizeof(Buckets) + (<size_t> index.count + index.older_count) * sizeof(Bucket)


cdef inline Bucket* home_of(const Buckets* index, uint64_t hash) noexcept nogil:
    cdef uint32_t at
    if index.older is not NULL:
        at = home_in(index.older_count, hash)
        if at >= index.moved:
            return &index.older[at]
    return &index.buckets[home_in(index.count, hash)]


cdef inline Bucket* after(const Buckets* index, Bucket* at) noexcept nogil:
    """The bucket where keys go on that found `at` full; the first follows the last."""
    if at == index.buckets + (index.count - 1):
        return index.buckets
    if at == index.older + (index.older_count - 1):
        return index.older
    return at + 1


cdef inline int32_t find_key(const Buckets* index, uint64_t hash, const uint64_t* key) noexcept nogil:
    """The slot that begins with `key`, or -1."""
    cdef Bucket* at = home_of(index, hash)
    cdef uint32_t left = index.count
    cdef unsigned mask
    cdef int32_t slot
    while left:
        left -= 1
        mask = match12(at.tags, tag_of(hash))
        while mask:
            slot = at.slots[lowest(mask)]
            if same_key(key_in(index, slot), key):
                return slot
            mask &= mask - 1
        if at.passed == 0:
            return -1
        at = after(index, at)
    return -1


cdef inline void enter(Buckets* index, Bucket* at, uint8_t tag, int32_t slot) noexcept nogil:
    cdef unsigned free = match12(at.tags, 0)
    while not free:
        at.passed += 1
        at = after(index, at)
        free = match12(at.tags, 0)
    at.tags[lowest(free)] = tag
    at.slots[lowest(free)] = slot


cdef inline void leave(Buckets* index, Bucket* at, uint8_t tag, int32_t slot) noexcept nogil:
    cdef unsigned mask
    while True:
        mask = match12(at.tags, tag)
        while mask:
            if at.slots[lowest(mask)] == slot:
                at.tags[lowest(mask)] = 0
                return
            mask &= mask - 1
        at.passed -= 1
        at = after(index, at)


cdef inline void fetch_homes_to_move(const Buckets* index) noexcept nogil:
    """Have the next home's slots and the bucket after it on their way before they are needed."""
    cdef uint32_t following = index.moved + 1
    cdef int place
    if following + 1 < index.older_count:
        prefetch(&index.older[following + 1])
        for place in range(PLACES):
            if index.older[following].tags[place]:
                prefetch(key_in(index, index.older[following].slots[place]))


cdef inline void move_home(Buckets* index) noexcept nogil:
    """Move the keys of one home from the older array to where the doubled array has them."""
    cdef uint32_t home = index.moved
    cdef Bucket* first = &index.older[home]
    cdef Bucket* at = first
    cdef uint64_t hash
    cdef uint32_t further
    cdef int place
    fetch_homes_to_move(index)
    while True:
        further = at.passed      # more than the home's own, perhaps; then the walk is longer than needed
        for place in range(PLACES):
            if at.tags[place]:
                hash = key_in(index, at.slots[place])[5]
                if home_in(index.older_count, hash) == home:
                    enter(index, &index.buckets[home_in(index.count, hash)], at.tags[place], at.slots[place])
                    leave(index, first, at.tags[place], at.slots[place])
        at = after(index, at)
        if further == 0 or at == first:
            break
    index.moved += 1
    if index.moved % FORGET_EVERY == 0 and index.moved > FORGET_EVERY:
        # The first of these pages may still hold keys that went on past the last bucket.
        forget_pages(index.older, (index.moved - FORGET_EVERY) * sizeof(Bucket), index.moved * sizeof(Bucket))
    if index.moved == index.older_count:
        join_pages(index.buckets, 0, index.count * sizeof(Bucket))
        give_pages(index.older, index.older_count, sizeof(Bucket))
        index.older, index.older_count, index.moved = NULL, 0, 0


cdef inline void grow(Buckets* index) noexcept nogil:
    """Begin to move into an array of twice the size; when there is no memory for it, the next key tries again."""
    cdef uint32_t count = stage(index, index.count + 1)
    cdef Bucket* made = <Bucket*> take_small_pages(count, sizeof(Bucket))
    if made is not NULL:
        index.older, index.older_count, index.moved = index.buckets, index.count, 0
        index.buckets, index.count = made, count


cdef inline int add_slot(Buckets* index, uint64_t hash, int32_t slot) noexcept nogil:
    """Enter a slot whose key is not there yet and whose own hash is this; 0: no room, nothing has changed."""
    if index.older is not NULL:
        move_home(index)
    elif index.count < index.limit and index.size >= <size_t> index.count * PLACES_FILLED and \
            index.size <= <size_t> index.count * (PLACES - PLACES_LEFT_TO_GROW):
        grow(index)
    if index.size >= <size_t> index.count * PLACES:
        return 0
    index.size += 1
    enter(index, home_of(index, hash), tag_of(hash), slot)
    return 1


cdef inline void drop_slot(Buckets* index, uint64_t hash, int32_t slot) noexcept nogil:
    """Take out a slot that was entered with this hash."""
    leave(index, home_of(index, hash), tag_of(hash), slot)
    index.size -= 1
