// C++ with a template and functions that the compiler inlines into each other; the true chain is
//   Shop::Cart<long>::total() → [inlined] Shop::price(long) → [inlined] Shop::tax(long)
// and the lines marked INNER and MIDDLE are what a profile must show.
// usage: inlines_cc [SECONDS]
#include "target.h"

namespace Shop {

static volatile uint64_t sink;

static inline __attribute__((always_inline)) uint64_t tax(uint64_t x) {
    for (unsigned i = 0; i < 50000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u; // INNER
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

static inline __attribute__((always_inline)) uint64_t price(uint64_t x) {
    return tax(x) + 1; // MIDDLE
}

template <typename T> struct Cart {
    T items;
    NOINLINE uint64_t total() const {
        return price((uint64_t)items) + 2; // OUTER
    }
};

} // namespace Shop

int main(int argc, char **argv) {
    target_start(argc, argv, nullptr);
    target_ready();
    Shop::Cart<long> cart{7};
    while (target_more()) {
        cart.items++;
        Shop::sink = cart.total();
        target_loops++;
    }
    target_report();
    return 0;
}
