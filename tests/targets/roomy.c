/* Large arrays on a thread's stack that nobody ever touches, so whole pages of it are not in memory; and callers that
 * take turns, so what is read of the stack later is of another call.
 * usage: roomy [SECONDS] */
#include <pthread.h>

#include "target.h"

static volatile uint64_t sink;

NOINLINE static uint64_t work(uint64_t x) {
    return target_spin(x, 2000) + 1;
}

#define CALLER(name, callee, bytes)                                                                                    \
    NOINLINE static uint64_t name(uint64_t x) {                                                                        \
        char room[bytes];                                                                                              \
        __asm__ volatile("" : : "r"(room) : "memory");                                                                 \
        x = callee(x) + 1;                                                                                             \
        __asm__ volatile("" : : "r"(room) : "memory");                                                                 \
        return x;                                                                                                      \
    }

CALLER(left_inner, work, 9000)
CALLER(left, left_inner, 14000)
CALLER(right_inner, work, 13000)
CALLER(right, right_inner, 18000)

static void *worker(void *unused) {
    while (target_more())
        sink = right(left(sink));
    return unused;
}

int main(int argc, char **argv) {
    pthread_t thread;
    target_start(argc, argv, NULL);
    target_ready();
    pthread_create(&thread, NULL, worker, NULL);
    pthread_join(thread, NULL);
    target_report();
    return 0;
}
