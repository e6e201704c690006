/* Sums of quantities, four at a time where the machine has AVX2; integers, so the sum is the same. */

#ifndef FASTBOOK_SUMS
#define FASTBOOK_SUMS

#include <stddef.h>
#include <stdint.h>

static uint64_t fastbook_sum_plain(const int64_t *qty, ptrdiff_t n) {
  uint64_t sum = 0;
  for (ptrdiff_t i = 0; i < n; i++) sum += (uint64_t) qty[i];
  return sum;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

__attribute__((target("avx2"))) static uint64_t fastbook_sum_avx2(const int64_t *qty, ptrdiff_t n) {
  static const int64_t kept[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
  __m256i sum = _mm256_setzero_si256();
  __m128i half;
  for (; n >= 4; n -= 4, qty += 4)
    sum = _mm256_add_epi64(sum, _mm256_loadu_si256((const __m256i *) qty));
  sum = _mm256_add_epi64(
      sum, _mm256_maskload_epi64((const long long *) qty,
                                 _mm256_loadu_si256((const __m256i *) (kept + 4 - n))));
  half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return (uint64_t) _mm_cvtsi128_si64(half) + (uint64_t) _mm_extract_epi64(half, 1);
}

static int fastbook_sums_start(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") != 0;
}
#else
#define fastbook_sum_avx2 fastbook_sum_plain
static int fastbook_sums_start(void) { return 0; }
#endif

#endif
