/* A library that target `dlopen` loads and unloads; PLUGIN is its letter, PLUGIN_PAD makes the two
 * differ in layout, so that the addresses of one mean something else in the other. */
#include <stdint.h>

#define GLUE_(a, b) a##b
#define GLUE(a, b) GLUE_(a, b)

#if PLUGIN_PAD
__attribute__((used, noinline)) uint64_t GLUE(pad_, PLUGIN)(uint64_t x) {
    __asm__ volatile(".rept 300\n\tnop\n\t.endr");
    return x * 3;
}
#endif

static __attribute__((noinline, noclone)) uint64_t GLUE(plugin_inner_, PLUGIN)(uint64_t x, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

uint64_t plugin_work(uint64_t x, unsigned n) {
    volatile uint64_t room[8 + PLUGIN_PAD * 24];
    room[0] = x;
    return GLUE(plugin_inner_, PLUGIN)(room[0], n) + 1;
}
