/* A storm of short-lived children. Each works a few milliseconds, half of them after an exec.
 * ns["children"] is the CPU time of all children that ended, ns["parent"] the parent's own.
 * usage: execs [SECONDS [MILLISECONDS-PER-CHILD]]         internal: execs --child MILLISECONDS */
#include "target.h"

#include <sys/resource.h>
#include <sys/wait.h>

static const char *const names[] = {"children", "parent", NULL};
static volatile uint64_t sink;

NOINLINE static void child_work(uint64_t ns) {
    while (target_cpu() < ns)
        sink = target_spin(sink, 1000);
}

NOINLINE static void exec_work(uint64_t ns) {
    child_work(ns);
    sink++;
}

NOINLINE static void parent_work(void) {
    sink = target_spin(sink, 300000);
}

static uint64_t usage_ns(int who) {
    struct rusage u;
    getrusage(who, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "--child")) {
        exec_work((uint64_t)atoi(argv[2]) * 1000000u);
        return 0;
    }
    target_start(argc, argv, names);
    char milliseconds[16];
    snprintf(milliseconds, sizeof milliseconds, "%d", argc > 2 ? atoi(argv[2]) : 5);
    target_ready();
    for (unsigned i = 0; target_more(); i++) {
        pid_t pid = fork();
        if (!pid) {
            if (i & 1) {
                execl("/proc/self/exe", "execs-child", "--child", milliseconds, NULL);
                _exit(127);
            }
            child_work((uint64_t)atoi(milliseconds) * 1000000u);
            _exit(0);
        }
        parent_work();
        if (pid > 0)
            waitpid(pid, NULL, 0);
        target_loops++;
        target_ns[0] = usage_ns(RUSAGE_CHILDREN);
        target_ns[1] = usage_ns(RUSAGE_SELF);
    }
    target_report();
    return 0;
}
