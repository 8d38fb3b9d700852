/* COUNT threads of which one works; the others sleep in as many ways as there are: a condition
 * variable, a pipe, nanosleep, a futex-backed mutex. A sleeping thread must never be counted.
 * usage: threads [SECONDS [COUNT]] */
#include "target.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static int pipe_fds[2];
static volatile uint64_t sink;

NOINLINE static void *idle(void *arg) {
    char byte;
    switch ((uintptr_t)arg & 3) {
    case 0:
        pthread_mutex_lock(&lock);
        for (;;)
            pthread_cond_wait(&never, &lock);
    case 1:
        while (read(pipe_fds[0], &byte, 1) < 0 && errno == EINTR)
            ;
        break;
    case 2:
        for (;;)
            sleep(1000);
    default:
        pthread_mutex_lock(&held);
    }
    return NULL;
}

NOINLINE static uint64_t busy(uint64_t x) {
    while (target_more()) {
        x = target_spin(x, 20000);
        target_loops++;
    }
    return x;
}

int main(int argc, char **argv) {
    target_start(argc, argv, NULL);
    long count = argc > 2 ? atol(argv[2]) : 50;
    if (pipe(pipe_fds))
        return 1;
    pthread_mutex_lock(&held);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    for (long i = 1; i < count; i++) {
        pthread_t t;
        int r = pthread_create(&t, &attr, idle, (void *)i);
        if (r) {
            fprintf(stderr, "thread %ld of %ld: %s\n", i, count, strerror(r));
            return 77; /* the machine does not allow it: skip */
        }
        char name[16];
        snprintf(name, sizeof name, "idle-%ld", i % 100000);
        pthread_setname_np(t, name);
    }
    pthread_setname_np(pthread_self(), "busy");
    target_ready();
    sink = busy(1);
    target_report();
    _exit(0);
}
