/* Becomes another program while it is being watched: works in before_exec, then execs PROGRAM ARGS
 * under the same pid.
 * usage: execself SECONDS PROGRAM [ARGS …] */
#include "target.h"

static volatile uint64_t sink;

NOINLINE static void before_exec(void) {
    while (target_more())
        sink = target_spin(sink, 20000);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    target_start(argc, argv, NULL);
    target_ready();
    before_exec();
    execv(argv[2], argv + 2);
    return 127;
}
