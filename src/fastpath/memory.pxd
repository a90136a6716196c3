# Zeroed pages straight from the kernel, huge where it grants them; and the ordering of what other threads read. Row 0.
#
# A table asks once for all it will ever need; pages that nobody has touched yet cost nothing.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/mman.h>
    #define FASTPATH_HUGE ((size_t) 2 << 20)
    static inline size_t fastpath_rounded(size_t size) {
        size_t unit = size >= FASTPATH_HUGE ? FASTPATH_HUGE : 4096;
        return (size + unit - 1) / unit * unit;
    }
    /* Address space of whole pages, aligned for huge ones from 2 MiB on; NULL when refused. */
    static inline void *fastpath_reserve(size_t count, size_t each) {
        size_t size;
        if (__builtin_mul_overflow(count, each, &size) || size > SIZE_MAX / 2 || size == 0) return NULL;
        size = fastpath_rounded(size);
        /* Kernels before 6.7 do not align by themselves, and an unaligned mapping has small pages at both ends. */
        size_t slack = size >= FASTPATH_HUGE ? FASTPATH_HUGE : 0;
        char *at = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return NULL;
        if (slack) {
            size_t before = (FASTPATH_HUGE - (uintptr_t) at % FASTPATH_HUGE) % FASTPATH_HUGE;
            if (before) munmap(at, before);
            if (slack - before) munmap(at + before + size, slack - before);
            at += before;
        }
        return at;
    }
    /* Advice for the huge pages that lie wholly between two offsets. */
    static inline void fastpath_advise(void *at, size_t from, size_t to, int advice) {
        from = (from + FASTPATH_HUGE - 1) / FASTPATH_HUGE * FASTPATH_HUGE;
        to = to / FASTPATH_HUGE * FASTPATH_HUGE;
        if (from < to) madvise((char *) at + from, to - from, advice);
    }
    #ifndef MADV_HUGEPAGE
    #define MADV_HUGEPAGE MADV_NORMAL
    #define MADV_NOHUGEPAGE MADV_NORMAL
    #endif
    static inline void *fastpath_take(size_t count, size_t each) {
        void *at = fastpath_reserve(count, each);
        if (at) fastpath_advise(at, 0, fastpath_rounded(count * each), MADV_HUGEPAGE);
        return at;
    }
    static inline void *fastpath_take_small(size_t count, size_t each) {
        void *at = fastpath_reserve(count, each);
        if (at) fastpath_advise(at, 0, fastpath_rounded(count * each), MADV_NOHUGEPAGE);
        return at;
    }
    static inline void fastpath_forget(void *at, size_t from, size_t to) {
        madvise((char *) at + from, to - from, MADV_DONTNEED);
    }
    static inline void fastpath_join(void *at, size_t from, size_t to) {
        fastpath_advise(at, from, to, MADV_HUGEPAGE);
    }
    static inline void fastpath_fill(void *at, size_t size) {
        volatile char *byte = (volatile char *) at;
        fastpath_advise(at, 0, fastpath_rounded(size), MADV_HUGEPAGE);
        for (size_t k = 0; k < size; k += 4096) byte[k] = byte[k];
    }
    static inline void fastpath_give(void *at, size_t count, size_t each) {
        if (at) munmap(at, fastpath_rounded(count * each));
    }
    #define fastpath_prefetch(at) __builtin_prefetch(at)
    #define fastpath_load_pointer(at) __atomic_load_n(at, __ATOMIC_ACQUIRE)
    #define fastpath_store_pointer(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)
    #define fastpath_load_word(at) __atomic_load_n(at, __ATOMIC_ACQUIRE)
    #define fastpath_store_word(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)
    """
    # NULL when the kernel refuses or count * each overflows.
    void* take_pages "fastpath_take" (size_t count, size_t each) noexcept nogil
    # The same count and each as taken.
    void give_pages "fastpath_give" (void* at, size_t count, size_t each) noexcept nogil
    # The same in small pages: the first touch of a huge one can hold its thread for milliseconds where the machine is a
    # virtual one, of a small one for microseconds.
    void* take_small_pages "fastpath_take_small" (size_t count, size_t each) noexcept nogil
    # From now on the kernel may, in a thread of its own, make huge pages of those that lie wholly between two offsets.
    void join_pages "fastpath_join" (void* at, size_t begin, size_t end) noexcept nogil
    # Take the memory of the first `size` bytes now, in huge pages.
    void fill_pages "fastpath_fill" (void* at, size_t size) noexcept nogil
    # Give back the pages between two offsets that are multiples of 4 KiB; the addresses stay valid and read as zero.
    void forget_pages "fastpath_forget" (void* at, size_t begin, size_t end) noexcept nogil
    void prefetch "fastpath_prefetch" (const void* at) noexcept nogil
    void* load_pointer "fastpath_load_pointer" (void** at) noexcept nogil
    void store_pointer "fastpath_store_pointer" (void** at, void* value) noexcept nogil
    uint64_t load_word "fastpath_load_word" (const uint64_t* at) noexcept nogil
    uint32_t load_half "fastpath_load_word" (const uint32_t* at) noexcept nogil
    void store_half "fastpath_store_word" (uint32_t* at, uint32_t value) noexcept nogil
    void store_word "fastpath_store_word" (uint64_t* at, uint64_t value) noexcept nogil
