/* Works from its very first instruction and ends soon: what a profiler that starts it must not miss.
 *   first (before main, from a constructor), then second; both measured; exits with STATUS.
 * usage: brief [MILLISECONDS-EACH [STATUS]] */
#include "target.h"

static const char *const names[] = {"first", "second", NULL};
static volatile uint64_t sink;
static uint64_t share_ns = 100000000;

NOINLINE static void first(void) {
    uint64_t t = target_cpu();
    while (target_cpu() - t < share_ns)
        sink = target_spin(sink, 5000);
    target_charge(0, target_cpu() - t);
}

NOINLINE static void second(void) {
    uint64_t t = target_cpu();
    while (target_cpu() - t < share_ns)
        sink = target_spin(sink, 5000) + 1;
    target_charge(1, target_cpu() - t);
}

__attribute__((constructor)) static void early(int argc, char **argv) {
    if (argc > 1)
        share_ns = (uint64_t)atoi(argv[1]) * 1000000u;
    first();
}

int main(int argc, char **argv) {
    target_names[0] = names[0];
    target_names[1] = names[1];
    second();
    target_report();
    return argc > 2 ? atoi(argv[2]) : 0;
}
