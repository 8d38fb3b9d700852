/* Allocation through one door, so that tests can make the n-th allocation fail.
 * May use: the C library.
 * Must not: abort; every function returns NULL when memory is out.
 *
 * Memory from here is released with free(). */
#pragma once

#include "base/macros.h"

void *mem_alloc(size_t size) _must_check_;                /* uninitialised; size 0 gives a unique pointer */
void *mem_zalloc(size_t count, size_t size) _must_check_; /* zeroed; NULL when count*size overflows */
void *mem_realloc(void *p, size_t size) _must_check_;
/* For megabytes that are written from end to end: uninitialised, and where the system has large pages made of such, so
 * that the first writes take a few faults and not thousands. Less than one of them is as mem_alloc() gives it. */
void *mem_alloc_large(size_t size) _must_check_;
/* The next `size` bytes of small allocations come from one piece of memory, made as that of mem_alloc_large(). For a
 * short life of many allocations; memory is given back at its end. Does nothing where that cannot be. */
void mem_take_in_bulk(size_t size);
char *mem_strdup(const char *s) _must_check_;
char *mem_strndup(const char *s, size_t n) _must_check_;
char *mem_printf(const char *fmt, ...) _must_check_ _printf_(1, 2);

/* Makes room for at least `need` elements of `size` bytes in *array, growing by half again.
 * Updates *capacity. Returns 0, or -ENOMEM with *array unchanged. */
int mem_grow(void **array, size_t *capacity, size_t need, size_t size) _must_check_;
/* Gives back what *array, which may be NULL, has beyond `count` elements. Updates *capacity, unless that is NULL. Where
 * memory is out nothing changes. */
void mem_fit(void **array, size_t *capacity, size_t count, size_t size);

/* Test hook: the (n+1)-th allocation from now on fails, once; n < 0 switches the hook off.
 * Returns how many allocations happened since the last call. */
long mem_fail_after(long n);
