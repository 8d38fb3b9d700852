/* The toy runtime's program: keeps a list of frame ids at a fixed address and is busy, in a deep enough call. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct toy_frames {
    char magic[8];
    uint64_t depth;
    uint64_t id[16]; /* leaf first */
};

static volatile unsigned work;

static __attribute__((noinline)) void toy_eval(void) {
    for (;;)
        work++;
}

int main(void) {
    struct toy_frames *f = mmap((void *)0x70000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (f == MAP_FAILED)
        return 1;
    *f = (struct toy_frames){.magic = "TOYVM001", .depth = 3, .id = {30, 20, 10}};
    puts("ready");
    fflush(stdout);
    toy_eval();
    return 0;
}
