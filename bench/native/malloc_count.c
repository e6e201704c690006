/* Preloaded: counts every request for heap memory that this process makes (glibc). */
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static int64_t calls;

int64_t malloc_count(void) { return calls; }

void *malloc(size_t size) {
    calls++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    calls++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    calls++;
    return __libc_realloc(p, size);
}

int posix_memalign(void **p, size_t alignment, size_t size) {
    calls++;
    *p = __libc_memalign(alignment, size);
    return *p ? 0 : 12; /* ENOMEM */
}
