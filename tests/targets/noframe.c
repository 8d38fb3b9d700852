/* C around hand-written assembly that carries no call-frame information:
 *   main → framed_path → asm_framed (frame pointer only) → callback
 *   main → leaf_path → asm_leaf (nothing at all)
 * The C side keeps frame pointers, as code that expects such a walk does.
 * usage: noframe [SECONDS [leaf]]       with `leaf`, works in asm_leaf too */
#include "target.h"

static const char *const names[] = {"callback", "asm_leaf", NULL};
static volatile uint64_t sink;

uint64_t asm_framed(uint64_t (*callback)(uint64_t), uint64_t arg);
uint64_t asm_leaf(uint64_t n);

NOINLINE static uint64_t callback(uint64_t x) {
    uint64_t t = target_cpu();
    x = target_spin(x, 200000);
    target_charge(0, target_cpu() - t);
    return x;
}

NOINLINE static uint64_t framed_path(uint64_t x) {
    return asm_framed(callback, x) + 1;
}

NOINLINE static uint64_t leaf_path(uint64_t x) {
    uint64_t t = target_cpu();
    x += asm_leaf(100000);
    target_charge(1, target_cpu() - t);
    return x;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    target_ready();
    while (target_more()) {
        sink = framed_path(sink);
        if (argc > 2)
            sink = leaf_path(sink);
        target_loops++;
    }
    target_report();
    return 0;
}
