/* C around hand-written assembly that carries no call-frame information:
 *   main → framed_path → asm_framed (frame pointer only) → callback
 *   main → leaf_path → asm_leaf (nothing at all)
 *   main → bare_path → asm_bare (nothing, and the frame pointer is 0) → unframed
 * The C side keeps frame pointers, as code that expects such a walk does.
 * usage: noframe [SECONDS [leaf|bare]]       with `leaf`, works in asm_leaf too; with `bare`, below asm_bare too */
#include "target.h"

static const char *const names[] = {"callback", "asm_leaf", "unframed", NULL};
static volatile uint64_t sink;

uint64_t asm_framed(uint64_t (*callback)(uint64_t), uint64_t arg);
uint64_t asm_leaf(uint64_t n);
uint64_t asm_bare(uint64_t (*callback)(uint64_t), uint64_t arg);

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

/* Leaves the frame pointer as it is. */
NOINLINE __attribute__((optimize("omit-frame-pointer"))) static uint64_t unframed(uint64_t x) {
    uint64_t t = target_cpu();
    for (uint64_t i = 0; i < 10000000; i++)
        x = x * 6364136223846793005ull + i;
    target_charge(2, target_cpu() - t);
    return x;
}

NOINLINE static uint64_t bare_path(uint64_t x) {
    return asm_bare(unframed, x) + 1;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    target_ready();
    while (target_more()) {
        sink = framed_path(sink);
        if (argc > 2)
            sink = argv[2][0] == 'b' ? bare_path(sink) : leaf_path(sink);
        target_loops++;
    }
    target_report();
    return 0;
}
