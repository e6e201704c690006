"""Words and bits, as the machine has them: unaligned loads and the place of a set bit.

Compilers without the builtins get plain C. A word read from memory has its first byte lowest,
whatever the byte order of the machine.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef FASTBOOK_BITS
    #define FASTBOOK_BITS
    #include <stdint.h>
    #include <string.h>

    #if defined(__GNUC__) || defined(__clang__)
      #define fastbook_likely(x) __builtin_expect(!!(x), 1)
      #define fastbook_inline static inline __attribute__((always_inline))
      #define fastbook_prefetch(p) __builtin_prefetch(p)
      #define fastbook_ctz64(x) __builtin_ctzll(x)
      #define fastbook_clz64(x) __builtin_clzll(x)
    #else
      #define fastbook_likely(x) (x)
      #define fastbook_inline static inline
      #define fastbook_prefetch(p) ((void) (p))
      static inline int fastbook_ctz64(uint64_t x) {
        int n = 0;
        while (!(x & 1)) { x >>= 1; n++; }
        return n;
      }
      static inline int fastbook_clz64(uint64_t x) {
        int n = 0;
        while (!(x >> 63)) { x <<= 1; n++; }
        return n;
      }
    #endif

    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    static inline uint64_t fastbook_load64(const char *p) {
      uint64_t w = 0;
      for (int i = 7; i >= 0; i--) w = w << 8 | (unsigned char) p[i];
      return w;
    }
    static inline uint32_t fastbook_load32(const char *p) {
      uint32_t w = 0;
      for (int i = 3; i >= 0; i--) w = w << 8 | (unsigned char) p[i];
      return w;
    }
    #else
    static inline uint64_t fastbook_load64(const char *p) { uint64_t w; memcpy(&w, p, 8); return w; }
    static inline uint32_t fastbook_load32(const char *p) { uint32_t w; memcpy(&w, p, 4); return w; }
    #endif

    /* Whether the n bytes at p are those of `text`; n is known when this is compiled, so that
       only loads and comparisons are left of it. Reads nothing but those n bytes. */
    fastbook_inline int fastbook_same(
        const char *p, const char *text, size_t n) {
      if (n >= 8) {
        size_t i = 0;
        for (; i + 8 <= n; i += 8)
          if (fastbook_load64(p + i) != fastbook_load64(text + i)) return 0;
        return fastbook_load64(p + n - 8) == fastbook_load64(text + n - 8);
      }
      if (n >= 4)
        return fastbook_load32(p) == fastbook_load32(text)
            && fastbook_load32(p + n - 4) == fastbook_load32(text + n - 4);
      for (size_t i = 0; i < n; i++)
        if (p[i] != text[i]) return 0;
      return 1;
    }
    #endif
    """
    bint same "fastbook_same"(const char* p, const char* text, size_t n) noexcept nogil
    bint likely "fastbook_likely"(bint x) noexcept nogil
    void prefetch "fastbook_prefetch"(const void* p) noexcept nogil     # its cache line is wanted soon
    int ctz64 "fastbook_ctz64"(uint64_t x) noexcept nogil   # of a word that is not 0
    int clz64 "fastbook_clz64"(uint64_t x) noexcept nogil
    uint64_t load64 "fastbook_load64"(const char* p) noexcept nogil
    uint32_t load32 "fastbook_load32"(const char* p) noexcept nogil
