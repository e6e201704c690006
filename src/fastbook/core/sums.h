/* The sum of the best quantities of a ladder: integers, so that it is the same in any order.

   An empty rung holds 0. What stands between the best rung and the last one wanted is added without
   asking which rungs hold something; bits say which rung is the last. Where the machine has AVX2,
   four rungs are added at a time. */

#ifndef FASTBOOK_SUMS
#define FASTBOOK_SUMS

#include <stddef.h>
#include <stdint.h>

enum { FASTBOOK_SPAN_MAX = 512 }; /* rungs; over a wider span it is better to go from bit to bit */

#if defined(__GNUC__) || defined(__clang__)
#define FASTBOOK_TOP static inline __attribute__((always_inline))
#define fastbook_last_bit(x) ((uint64_t) __builtin_ctzll(x))
#define fastbook_bits_in(x) ((ptrdiff_t) __builtin_popcountll(x))
#else
#define FASTBOOK_TOP static inline
static inline uint64_t fastbook_last_bit(uint64_t x) {
  uint64_t n = 0;
  for (; !(x & 1); x >>= 1) n++;
  return n;
}
static inline ptrdiff_t fastbook_bits_in(uint64_t x) {
  ptrdiff_t n = 0;
  for (; x; x &= x - 1) n++;
  return n;
}
#endif

/* Rungs from `best` to the one of the `levels`-th level, both counted; 0 when that is too far. At
   least so many levels are held, and a word may be read behind the last one. */
FASTBOOK_TOP ptrdiff_t fastbook_span(const uint64_t *bits, uint64_t best, ptrdiff_t levels) {
  const uint64_t *word = bits + (best >> 6);
  int offset = (int) (best & 63);
  uint64_t near = word[0] >> offset | word[1] << 1 << (63 - offset); /* of 64 rungs from best on */
  ptrdiff_t span = 0, found;
  uint64_t x = near;
  for (ptrdiff_t i = 1; i < levels; i++) x &= x - 1; /* as often every time: nothing to mispredict */
  if (x != 0) return (ptrdiff_t) fastbook_last_bit(x) + 1;
  x = word[0] >> offset << offset;
  while ((found = fastbook_bits_in(x)) < levels) {
    levels -= found;
    span += 64;
    if (span > FASTBOOK_SPAN_MAX) return 0;
    x = word[span >> 6];
  }
  while (--levels) x &= x - 1;
  return span + (ptrdiff_t) fastbook_last_bit(x) - offset + 1;
}

static uint64_t fastbook_top_plain(const int64_t *rung, const uint64_t *bits, uint64_t best,
                                   ptrdiff_t levels, ptrdiff_t *span) {
  uint64_t sum = 0;
  *span = fastbook_span(bits, best, levels);
  for (ptrdiff_t i = 0; i < *span; i++) sum += (uint64_t) rung[best + (uint64_t) i];
  return sum;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

__attribute__((target("avx2,bmi,popcnt"))) static uint64_t fastbook_top_avx2(
    const int64_t *rung, const uint64_t *bits, uint64_t best, ptrdiff_t levels, ptrdiff_t *span) {
  static const int64_t kept[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
  __m256i sum = _mm256_setzero_si256();
  __m128i half;
  ptrdiff_t n = *span = fastbook_span(bits, best, levels);
  for (rung += best; n >= 4; n -= 4, rung += 4)
    sum = _mm256_add_epi64(sum, _mm256_loadu_si256((const __m256i *) rung));
  sum = _mm256_add_epi64(
      sum, _mm256_maskload_epi64((const long long *) rung,
                                 _mm256_loadu_si256((const __m256i *) (kept + 4 - n))));
  half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return (uint64_t) _mm_cvtsi128_si64(half) + (uint64_t) _mm_extract_epi64(half, 1);
}

static int fastbook_sums_start(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("popcnt");
}
#else
#define fastbook_top_avx2 fastbook_top_plain
static int fastbook_sums_start(void) { return 0; }
#endif

#endif
