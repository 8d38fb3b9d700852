/* Small language helpers used everywhere: cleanup, ownership, array sizes.
 * May use: the C library only.
 * Must not: allocate, log, know of profiles. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Runs f(&variable) when the variable leaves its scope. */
#define _cleanup_(f) __attribute__((cleanup(f)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))

/* Hands a pointer over: yields its value and leaves NULL behind. */
#define TAKE_PTR(p)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(p) *_pp = &(p);                                                                                     \
        __typeof__(p) _v = *_pp;                                                                                       \
        *_pp = NULL;                                                                                                   \
        _v;                                                                                                            \
    })

/* Hands a file descriptor over: yields its value and leaves -1 behind. */
#define TAKE_FD(fd)                                                                                                    \
    ({                                                                                                                 \
        int *_pfd = &(fd);                                                                                             \
        int _fd = *_pfd;                                                                                               \
        *_pfd = -1;                                                                                                    \
        _fd;                                                                                                           \
    })

/* Defines cleanup function <name>p for `_cleanup_(name##p) type *v`: calls name(v) when v is set. */
#define DEFINE_CLEANUP(type, name)                                                                                     \
    static inline void name##p(type **p) {                                                                             \
        if (*p)                                                                                                        \
            name(*p);                                                                                                  \
    }

static inline void freep(void *p) {
    free(*(void **)p);
}

static inline void closep(int *fd) {
    if (*fd >= 0)
        close(*fd);
}
