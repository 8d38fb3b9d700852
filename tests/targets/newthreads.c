/* Makes threads one after the other. The true stacks:
 *   of who makes them:  …, makes, main, …
 *   of those made:      …, lives, …
 * usage: newthreads [SECONDS [pthread | clone]]: by pthread_create(), or by clone() itself */
#include "target.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

enum { STACK = 64 << 10, BATCH = 8 };

static volatile uint64_t sink;

NOINLINE static void *lives(void *arg) {
    sink = target_spin((uintptr_t)arg, 500);
    return NULL;
}

static int lives_cloned(void *arg) {
    lives(arg);
    return 0;
}

NOINLINE static int makes(void) {
    pthread_t made[BATCH];
    int n = 0;
    while (n < BATCH && pthread_create(&made[n], NULL, lives, NULL) == 0)
        n++;
    for (int i = 0; i < n; i++)
        pthread_join(made[i], NULL);
    return n;
}

NOINLINE static int makes_cloned(char *stack) {
    pid_t made = clone(lives_cloned, stack + STACK, CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, NULL);
    int status = 1;
    if (made > 0)
        waitpid(made, &status, 0);
    return status;
}

int main(int argc, char **argv) {
    static char stack[STACK] __attribute__((aligned(16)));
    int cloned = argc > 2 && strcmp(argv[2], "clone") == 0;
    target_start(argc, argv, NULL);
    target_ready();
    while (target_more())
        target_loops += (uint64_t)(cloned ? makes_cloned(stack) : makes());
    target_report();
    return 0;
}
