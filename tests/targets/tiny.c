/* The library of target `plt`. */
#include <stdint.h>
uint64_t tiny(uint64_t x);
uint64_t tiny(uint64_t x) {
    return x * 3 + 1;
}
