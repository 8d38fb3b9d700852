/* Works inside a signal handler on an alternate stack; the whole stack is
 *   handler_work ← on_alarm ← (signal frame) ← interrupted ← main.
 * usage: signal [SECONDS] */
#include "target.h"

#include <sys/time.h>

static const char *const names[] = {"handler_work", "interrupted", NULL};
static volatile uint64_t sink;

NOINLINE static uint64_t handler_work(uint64_t x) {
    uint64_t t = target_cpu();
    x = target_spin(x, 2000000);
    target_charge(0, target_cpu() - t);
    return x;
}

NOINLINE static void on_alarm(int sig) {
    sink = handler_work((uint64_t)sig) + 1;
}

NOINLINE static uint64_t interrupted(uint64_t x) {
    uint64_t t = target_cpu(), inner = target_ns[0];
    x = target_spin(x, 1000000);
    target_charge(1, target_cpu() - t - (target_ns[0] - inner));
    return x;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    stack_t stack = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    sigaltstack(&stack, NULL);
    struct sigaction a = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGALRM, &a, NULL);
    struct itimerval every = {{0, 7000}, {0, 7000}};
    setitimer(ITIMER_REAL, &every, NULL);
    target_ready();
    uint64_t x = 1;
    while (target_more())
        x = interrupted(x);
    every = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    sink = x;
    target_report();
    return 0;
}
