/* One order book frame read with AVX2: the same answer as the portable scanner (scan.pxd), or none.

   A frame is read in four steps, none of which depends on the length of a number by a branch:

   1. Its head, up to the bids, is compared with the head of an earlier frame of the topic, 32 bytes
      at a time; only the digits of "ts" may differ.
   2. A level is loaded as 32 bytes. The quotes among them are bits of a mask, and so are the points:
      where they stand says how long its two numbers are and where the next level starts.
   3. Both numbers are moved to their places of 16 digits, decimals filled up to the scale, by one
      shuffle, whose control comes from a table by length and place of the point; three multiply-adds
      make integers of them. What is no digit comes out above 9. A number that does not fit its
      16 digits has a control that always does.
   4. The ids are read from the end of the frame, where 16 bytes before each are always there.

   Whatever is not recognised to the last byte is left to the portable scanner. No byte outside the
   frame is read. Nothing here is used on a machine without AVX2 and BMI. */

#ifndef FASTBOOK_VECTORS
#define FASTBOOK_VECTORS

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
  FASTBOOK_HEAD_MAX = 192,   /* bytes of a head: names are at most 63 and 40 long */
  FASTBOOK_ROOM = 48,        /* bytes looked at from the start of a level ... */
  FASTBOOK_WIDE_ROOM = 80,   /* ... and of two */
  FASTBOOK_FRAME_MIN = 128,  /* steps back from its end, and loads of 8 behind a side, stay inside */
  FASTBOOK_FRAME_MAX = 65536 /* a longer frame may hold more levels than there is room for */
};

/* How the frames of one topic begin. */
typedef struct {
  uint8_t text[FASTBOOK_HEAD_MAX];
  uint32_t open[FASTBOOK_HEAD_MAX / 32]; /* bit k: byte k of these 32 may be anything */
  int length;                            /* 0: not known */
  int padded;                            /* the same, up to the next multiple of 32 */
  int digits_end;                        /* behind the digits of "ts" ... */
  int digits;                            /* ... of which there are so many, 1..16 */
  int snapshot;
} fastbook_head;

typedef struct { /* what was read, beside the levels */
  ptrdiff_t bids, asks;
  int64_t ts_ms, u, seq, cts_ms;
} fastbook_read;

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define FASTBOOK_AVX2 1
#include <immintrin.h>
#define FASTBOOK_TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt")))
#define FASTBOOK_STEP static inline __attribute__((always_inline, target("avx2,bmi,bmi2,lzcnt")))
#define FASTBOOK_RARE(x) __builtin_expect(!!(x), 0)

enum { FASTBOOK_SCALES = 16 };

/* By scale, length of a text and characters before its point: where in the text each of 16 digits
   stands; 0x80 is none, which reads as 0. */
static uint8_t fastbook_places[FASTBOOK_SCALES][16][16][16];

static void fastbook_fill_places(void) {
  for (int scale = 0; scale < FASTBOOK_SCALES; scale++)
    for (int length = 0; length < 16; length++)
      for (int whole = 0; whole < 16; whole++) {
        uint8_t *place = fastbook_places[scale][length][whole];
        int decimals = whole < length ? length - whole - 1 : 0;
        int point = whole < length;
        if (whole == 0 || whole > length || whole > 16 - scale || decimals > scale ||
            (point && decimals == 0)) {
          memset(place, length, 16); /* the closing quote, which is no digit */
          continue;
        }
        memset(place, 0x80, 16);
        for (int i = 0; i < whole; i++) place[16 - scale - whole + i] = (uint8_t) i;
        for (int i = 0; i < decimals; i++) place[16 - scale + i] = (uint8_t) (whole + 1 + i);
      }
}

/* 1 where the machine can; fills the tables. Call it once, before anything else here. */
static int fastbook_vectors_start(void) {
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2")))
    return 0;
  fastbook_fill_places();
  return 1;
}

FASTBOOK_STEP uint32_t fastbook_load32_(const char *p) { uint32_t w; memcpy(&w, p, 4); return w; }
FASTBOOK_STEP uint64_t fastbook_load64_(const char *p) { uint64_t w; memcpy(&w, p, 8); return w; }
FASTBOOK_STEP __m128i fastbook_load128(const void *p) { return _mm_loadu_si128((const __m128i *) p); }
FASTBOOK_STEP __m256i fastbook_load256(const void *p) {
  return _mm256_loadu_si256((const __m256i *) p);
}

/* Of 32 digits 0..9: in the low half of each lane, the number that its 16 digits stand for. */
FASTBOOK_STEP __m256i fastbook_join(__m256i digits) {
  __m256i x = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010A));       /* 10, 1 */
  x = _mm256_madd_epi16(x, _mm256_set1_epi32(0x00010064));                   /* 100, 1 */
  x = _mm256_packus_epi32(x, x);
  x = _mm256_madd_epi16(x, _mm256_set1_epi32(0x00012710));                   /* 10000, 1 */
  return _mm256_add_epi64(_mm256_mul_epu32(x, _mm256_set1_epi64x(100000000)),
                          _mm256_srli_epi64(x, 32));
}

/* Where the quotes are among the 32 bytes at p, and where a number's whole part stops. */
FASTBOOK_STEP void fastbook_marks(const char *p, uint32_t *quotes, uint32_t *stops) {
  __m256i x = fastbook_load256(p);
  __m256i quote = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('"'));
  __m256i point = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('.'));
  *quotes = (uint32_t) _mm256_movemask_epi8(quote);
  *stops = (uint32_t) _mm256_movemask_epi8(_mm256_or_si256(quote, point));
}

/* One level, `px","qty"` at p, to `out`; returns its last quote, NULL if the marks do not show it
   whole. Adds to `wrong` what is not 0 when a digit is none. Looks at 48 bytes. */
FASTBOOK_STEP const char *fastbook_level(const char *p, uint64_t quotes, uint64_t stops,
                                         const uint8_t *px_places, const uint8_t *qty_places,
                                         int64_t *out, __m256i *wrong) {
  uint64_t later = _blsr_u64(_blsr_u64(quotes)); /* from the third quote on */
  uint64_t px_end = _tzcnt_u64(quotes);
  uint64_t qty_end = _tzcnt_u64(later);
  uint64_t qty_at = px_end + 3;
  uint64_t qty_length = qty_end - qty_at;
  __m256i x, places;
  if (FASTBOOK_RARE((px_end | qty_length) > 15)) return NULL;
  if (FASTBOOK_RARE((fastbook_load32_(p + px_end) & 0xFFFFFF) != 0x222C22)) return NULL; /* "," */
  x = _mm256_inserti128_si256(_mm256_castsi128_si256(fastbook_load128(p)),
                              fastbook_load128(p + qty_at), 1);
  places = _mm256_inserti128_si256(
      _mm256_castsi128_si256(fastbook_load128(px_places + 256 * px_end + 16 * _tzcnt_u64(stops))),
      fastbook_load128(qty_places + 256 * qty_length + 16 * _tzcnt_u64(stops >> qty_at)), 1);
  x = _mm256_shuffle_epi8(_mm256_sub_epi8(x, _mm256_set1_epi8('0')), places);
  *wrong = _mm256_or_si256(*wrong, _mm256_subs_epu8(x, _mm256_set1_epi8(9)));
  x = _mm256_permute4x64_epi64(fastbook_join(x), 0x08);
  _mm_storeu_si128((__m128i *) out, _mm256_castsi256_si128(x));
  return p + qty_end;
}

/* `px","qty"],["px",...` from behind the first quote to behind the last bracket; NULL if it is not.
   Each turn has to wait for the last one to say where it starts, so a turn takes two levels out of
   64 bytes where there is room for it. */
FASTBOOK_STEP const char *fastbook_levels(const char *p, const char *frame_end,
                                          const uint8_t *px_places, const uint8_t *qty_places,
                                          int64_t *levels, ptrdiff_t *count) {
  __m256i wrong = _mm256_setzero_si256();
  int64_t *out = levels;
  const char *end = NULL;
  uint32_t quotes, stops, far_quotes, far_stops;
  uint64_t wide_quotes, wide_stops;
  while (frame_end - p >= FASTBOOK_WIDE_ROOM) {
    fastbook_marks(p, &quotes, &stops);
    fastbook_marks(p + 32, &far_quotes, &far_stops);
    wide_quotes = quotes | (uint64_t) far_quotes << 32;
    wide_stops = stops | (uint64_t) far_stops << 32;
    end = fastbook_level(p, wide_quotes, wide_stops, px_places, qty_places, out, &wrong);
    if (FASTBOOK_RARE(end == NULL)) return NULL;
    out += 2;
    if (fastbook_load64_(end) << 24 != 0x225B2C5D22000000u) goto done; /* not "],[" */
    wide_quotes >>= end + 5 - p;
    wide_stops >>= end + 5 - p;
    p = end + 5;
    end = fastbook_level(p, wide_quotes, wide_stops, px_places, qty_places, out, &wrong);
    if (FASTBOOK_RARE(end == NULL)) continue; /* not within the 64 bytes: the first of the next turn */
    out += 2;
    if (fastbook_load64_(end) << 24 != 0x225B2C5D22000000u) goto done;
    p = end + 5;
  }
  while (frame_end - p >= FASTBOOK_ROOM) {
    fastbook_marks(p, &quotes, &stops);
    end = fastbook_level(p, quotes, stops, px_places, qty_places, out, &wrong);
    if (FASTBOOK_RARE(end == NULL)) return NULL;
    out += 2;
    if (fastbook_load64_(end) << 24 != 0x225B2C5D22000000u) goto done;
    p = end + 5;
  }
  return NULL;
done:
  *count = (out - levels) / 2;
  if ((fastbook_load32_(end) & 0xFFFFFF) != 0x5D5D22) return NULL; /* "]] */
  return _mm256_testz_si256(wrong, wrong) ? end + 3 : NULL;
}

/* The levels of one side, from behind `[`. */
FASTBOOK_STEP const char *fastbook_side(const char *p, const char *frame_end,
                                        const uint8_t *px_places, const uint8_t *qty_places,
                                        int64_t *levels, ptrdiff_t *count) {
  if (p[0] == ']') {
    *count = 0;
    return p + 1;
  }
  if (p[0] != '[' || p[1] != '"') return NULL;
  return fastbook_levels(p + 2, frame_end, px_places, qty_places, levels, count);
}

/* One side of any frame, from its first bracket to behind its last; NULL if it is not known. */
static FASTBOOK_TARGET const char *fastbook_read_side(const char *p, const char *end, int px_scale,
                                                      int qty_scale, int64_t *levels,
                                                      ptrdiff_t *count) {
  if (end - p < FASTBOOK_ROOM || end - p > FASTBOOK_FRAME_MAX || (px_scale | qty_scale) > 15 ||
      p[0] != '[')
    return NULL;
  return fastbook_side(p + 1, end, fastbook_places[px_scale][0][0],
                       fastbook_places[qty_scale][0][0], levels, count);
}

/* The `n` bytes before `end`, less "0", in the last places of 16; zeros before them. */
FASTBOOK_STEP __m128i fastbook_last(__m128i x, uint32_t n) {
  static const uint8_t kept[32] = {0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
                                   0,   0,   0,   0,   0,   255, 255, 255, 255, 255, 255,
                                   255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  return _mm_and_si128(x, fastbook_load128(kept + n));
}

/* The digits that end before `end`, as places; `*start` is moved to the first. NULL-like when there
   are none, 16 or more, or a zero before others: then `*start` is `end`. */
FASTBOOK_STEP __m128i fastbook_digits_before(const char *end, const char **start) {
  __m128i x = _mm_sub_epi8(fastbook_load128(end - 16), _mm_set1_epi8('0'));
  uint32_t digits =
      (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x));
  uint32_t n = _lzcnt_u32(~(digits << 16));
  *start = end - n;
  if (FASTBOOK_RARE(n - 1 > 14 || (end[-(ptrdiff_t) n] == '0' && n != 1))) *start = end;
  return fastbook_last(x, n);
}

FASTBOOK_STEP void fastbook_join_two(__m128i a, __m128i b, int64_t *first, int64_t *second) {
  __m256i x = fastbook_join(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1));
  *first = _mm_cvtsi128_si64(_mm256_castsi256_si128(x));
  *second = _mm_cvtsi128_si64(_mm256_extracti128_si256(x, 1));
}

/* Whether a frame of at least head->padded bytes begins like `head`. */
FASTBOOK_STEP int fastbook_same_head(const fastbook_head *head, const char *frame) {
  uint32_t same = 0xFFFFFFFFu;
  for (int i = 0; 32 * i < head->padded; i++) {
    __m256i x = _mm256_cmpeq_epi8(fastbook_load256(frame + 32 * i),
                                  fastbook_load256(head->text + 32 * i));
    same &= (uint32_t) _mm256_movemask_epi8(x) | head->open[i];
  }
  return same == 0xFFFFFFFFu;
}

/* 1 when `frame` was read whole: its levels are in `bids` and `asks`, (px, qty) each. 0: unknown. */
static FASTBOOK_TARGET int fastbook_read_frame(const char *frame, ptrdiff_t size,
                                               const fastbook_head *head, int px_scale,
                                               int qty_scale, int64_t *bids, int64_t *asks,
                                               fastbook_read *read) {
  const char *end = frame + size;
  const uint8_t *px_places = fastbook_places[px_scale & 15][0][0]; /* checked below */
  const uint8_t *qty_places = fastbook_places[qty_scale & 15][0][0];
  const char *p, *ts_at, *u_at, *seq_at, *cts_at;
  __m128i ts, u, seq, cts;
  if (head->length == 0 || size < head->padded || size < FASTBOOK_FRAME_MIN ||
      size > FASTBOOK_FRAME_MAX || (px_scale | qty_scale) > 15)
    return 0;
  if (!fastbook_same_head(head, frame)) return 0;

  p = end - 1;
  if (p[0] != '}') return 0;
  cts = fastbook_digits_before(p, &cts_at);
  if (cts_at == p || fastbook_load64_(cts_at - 8) != 0x3A22737463222C7Du) return 0; /* },"cts": */
  p = cts_at - 8;
  seq = fastbook_digits_before(p, &seq_at);
  if (seq_at == p || fastbook_load64_(seq_at - 8) >> 8 != 0x3A22716573222Cu) return 0; /* ,"seq": */
  p = seq_at - 7;
  u = fastbook_digits_before(p, &u_at);
  if (u_at == p || fastbook_load64_(u_at - 8) >> 24 != 0x3A2275222Cu) return 0; /* ,"u": */
  p = frame + head->digits_end;
  ts = fastbook_digits_before(p, &ts_at);
  if (p - ts_at != head->digits) return 0;
  fastbook_join_two(ts, cts, &read->ts_ms, &read->cts_ms);
  fastbook_join_two(u, seq, &read->u, &read->seq);

  p = frame + head->length;
  if (end - p < 16) return 0;
  p = fastbook_side(p, end, px_places, qty_places, bids, &read->bids);
  if (p == NULL || (fastbook_load64_(p) & 0xFFFFFFFFFFFF) != 0x5B3A2261222C) return 0; /* ,"a":[ */
  p = fastbook_side(p + 6, end, px_places, qty_places, asks, &read->asks);
  return p == u_at - 5;
}

/* Remember how `frame` begins, of which `length` bytes come before its bids. */
static void fastbook_learn_head(fastbook_head *head, const char *frame, ptrdiff_t length,
                                int snapshot) {
  ptrdiff_t at = 0, digits = 0;
  head->length = 0;
  if (length > FASTBOOK_HEAD_MAX) return;
  while (at + 5 < length && memcmp(frame + at, "\"ts\":", 5) != 0) at++;
  at += 5;
  while (at + digits < length && frame[at + digits] >= '0' && frame[at + digits] <= '9') digits++;
  if (digits == 0 || digits > 15 || at < 16) return;
  memset(head->open, 0, sizeof head->open);
  memset(head->text, 0, sizeof head->text);
  memcpy(head->text, frame, (size_t) length);
  head->padded = (int) (length + 31) & ~31;
  for (ptrdiff_t i = 0; i < head->padded; i++)
    if (i >= length || (i >= at && i < at + digits)) head->open[i >> 5] |= (uint32_t) 1 << (i & 31);
  head->digits_end = (int) (at + digits);
  head->digits = (int) digits;
  head->snapshot = snapshot;
  head->length = (int) length;
}

#else

static int fastbook_vectors_start(void) { return 0; }
static int fastbook_read_frame(const char *frame, ptrdiff_t size, const fastbook_head *head,
                               int px_scale, int qty_scale, int64_t *bids, int64_t *asks,
                               fastbook_read *read) {
  (void) frame, (void) size, (void) head, (void) px_scale, (void) qty_scale;
  (void) bids, (void) asks, (void) read;
  return 0;
}
static const char *fastbook_read_side(const char *p, const char *end, int px_scale, int qty_scale,
                                      int64_t *levels, ptrdiff_t *count) {
  (void) p, (void) end, (void) px_scale, (void) qty_scale, (void) levels, (void) count;
  return NULL;
}
static void fastbook_learn_head(fastbook_head *head, const char *frame, ptrdiff_t length,
                                int snapshot) {
  (void) head, (void) frame, (void) length, (void) snapshot;
}

#endif
#endif
