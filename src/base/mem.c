#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_long allocations;
static atomic_long fail_at = -1;

static bool must_fail(void) {
    long n = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return n == atomic_load_explicit(&fail_at, memory_order_relaxed);
}

long mem_fail_after(long n) {
    long seen = atomic_exchange(&allocations, 0);
    atomic_store(&fail_at, n);
    return seen;
}

void *mem_alloc(size_t size) {
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *mem_zalloc(size_t count, size_t size) {
    return must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *mem_realloc(void *p, size_t size) {
    return must_fail() ? NULL : realloc(p, size ? size : 1);
}

enum { LARGE_PAGE = 2 << 20 };

void *mem_alloc_large(size_t size) {
    if (size < LARGE_PAGE || size > SIZE_MAX - LARGE_PAGE)
        return mem_alloc(size);
    size_t whole = (size + LARGE_PAGE - 1) & ~(size_t)(LARGE_PAGE - 1);
    void *p = must_fail() ? NULL : aligned_alloc(LARGE_PAGE, whole);
    if (p)
        (void)madvise(p, whole, MADV_HUGEPAGE); /* small ones will do */
    return p;
}

void mem_take_in_bulk(size_t size) {
    mallopt(M_ARENA_MAX, 1); /* a second one would grow page by page */
    mallopt(M_TOP_PAD, (int)MIN(size, (size_t)INT_MAX / 2));
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, LARGE_PAGE);
    void *volatile enough = malloc(LARGE_PAGE / 2); /* for the heap to grow by this, and by the size */
    uintptr_t start = ((uintptr_t)enough + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
    uintptr_t end = (uintptr_t)sbrk(0) & ~(uintptr_t)(LARGE_PAGE - 1);
    if (enough && start < end && end - start <= size + LARGE_PAGE)
        (void)madvise((void *)start, end - start, MADV_HUGEPAGE);
    free(enough);
}

char *mem_strndup(const char *s, size_t n) {
    size_t len = strnlen(s, n);
    char *copy = mem_alloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *mem_strdup(const char *s) {
    return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *s = n >= 0 ? mem_alloc((size_t)n + 1) : NULL;
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

int mem_grow(void **array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity)
        return 0;
    size_t want = MAX(need, *capacity + *capacity / 2);
    want = MAX(want, (size_t)16);
    size_t bytes;
    if (__builtin_mul_overflow(want, size, &bytes))
        return -ENOMEM;
    void *p = mem_realloc(*array, bytes);
    if (!p)
        return -ENOMEM;
    *array = p;
    *capacity = want;
    return 0;
}

void mem_fit(void **array, size_t *capacity, size_t count, size_t size) {
    void *p = *array ? mem_realloc(*array, count * size) : NULL;
    if (!p)
        return;
    *array = p;
    if (capacity)
        *capacity = count;
}
