/* The C side of the demo's service: two threads of plain C, each busy for a fixed share of a core, that know
 * how much CPU time they used. The service loads this with ctypes and calls checksum() itself. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline))

enum { SIDE = 256, TEXT = 64 * 1024, PERIOD_MS = 100 };

static uint64_t ns_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the work ---- */

static float image[2][SIDE][SIDE];
static char text[TEXT + 1];

static NOINLINE void blur_rows(float from[SIDE][SIDE], float to[SIDE][SIDE]) {
    for (int y = 0; y < SIDE; y++)
        for (int x = 2; x < SIDE - 2; x++)
            to[y][x] = 0.1f * from[y][x - 2] + 0.2f * from[y][x - 1] + 0.4f * from[y][x] + 0.2f * from[y][x + 1] +
                       0.1f * from[y][x + 2];
}

static NOINLINE void blur_columns(float from[SIDE][SIDE], float to[SIDE][SIDE]) {
    for (int y = 2; y < SIDE - 2; y++)
        for (int x = 0; x < SIDE; x++)
            to[y][x] = 0.1f * from[y - 2][x] + 0.2f * from[y - 1][x] + 0.4f * from[y][x] + 0.2f * from[y + 1][x] +
                       0.1f * from[y + 2][x];
}

static NOINLINE void blur_image(void) {
    blur_rows(image[0], image[1]);
    blur_columns(image[1], image[0]);
    __asm__ volatile(""); /* so that the last call is a call, and this function is in its stack */
}

static volatile unsigned matches;

static NOINLINE unsigned match_at(const char *at, const char *pattern) {
    while (*pattern && *at == *pattern)
        at++, pattern++;
    return !*pattern;
}

static NOINLINE void match_patterns(void) {
    static const char *const patterns[] = {"abacab", "cabbage", "baccalaureate"};
    unsigned found = 0;
    for (size_t p = 0; p < sizeof(patterns) / sizeof(*patterns); p++)
        for (const char *at = text; *at; at++)
            found += match_at(at, patterns[p]);
    matches = found;
}

EXPORT uint32_t checksum(const unsigned char *data, size_t size);
EXPORT uint32_t checksum(const unsigned char *data, size_t size) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < size; i++) {
        a = (a + data[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* ---- the threads ---- */

struct worker {
    const char *name;
    void (*unit)(void);
    unsigned share; /* percent of a core */
    pthread_t thread;
    _Atomic uint64_t cpu_ns;
};

static struct worker workers[] = {
    {.name = "blur", .unit = blur_image, .share = 36},
    {.name = "match", .unit = match_patterns, .share = 18},
};

static void *work(void *argument) {
    struct worker *w = argument;
    pthread_setname_np(pthread_self(), w->name);
    for (;;) {
        uint64_t until = ns_of(CLOCK_MONOTONIC) + PERIOD_MS * 1000000u;
        uint64_t enough = ns_of(CLOCK_THREAD_CPUTIME_ID) + PERIOD_MS * 10000u * w->share;
        while (ns_of(CLOCK_THREAD_CPUTIME_ID) < enough)
            w->unit();
        w->cpu_ns = ns_of(CLOCK_THREAD_CPUTIME_ID);
        uint64_t now = ns_of(CLOCK_MONOTONIC);
        if (now < until)
            nanosleep(&(struct timespec){.tv_nsec = (long)(until - now)}, NULL);
    }
    return NULL;
}

EXPORT int workers_start(void);
EXPORT int workers_start(void) {
    for (int i = 0; i < TEXT; i++)
        text[i] = (char)('a' + (i * 7 + i / 3) % 3);
    for (size_t i = 0; i < sizeof(workers) / sizeof(*workers); i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return -1;
    return 0;
}

/* CPU time of a worker by its name, in nanoseconds. */
EXPORT uint64_t worker_cpu_ns(const char *name);
EXPORT uint64_t worker_cpu_ns(const char *name) {
    for (size_t i = 0; i < sizeof(workers) / sizeof(*workers); i++)
        if (strcmp(workers[i].name, name) == 0)
            return workers[i].cpu_ns;
    return 0;
}
