/* Functions of every kind that a symbol table and DWARF tell of: inlined in several depths, cold, cloned,
 * chosen when loaded (IFUNC), written in assembly with and without a size, with thread-local data. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__thread int spare = 3;
__thread long counter_of_thread = 7;
int plain_data[16];

static inline int square(int x) {
    return x * x;
}

static inline int sum_of_squares(int a, int b) {
    int s = square(a);
    if (a > b)
        s += square(b) / (b | 1);
    return s;
}

static inline __attribute__((always_inline)) int deep(int n, int a) {
    for (int i = 0; i < n; i++)
        a ^= sum_of_squares(a, i);
    return a;
}

static __attribute__((noinline)) int cloned(int x, int how) {
    if (how == 4) {
        for (int i = 0; i < x; i++)
            x ^= deep(3, i);
        return x;
    }
    return how;
}

static __attribute__((noinline, cold)) void complain(const char *what) {
    fprintf(stderr, "bad: %s\n", what);
    exit(3);
}

int exported(int n) {
    if (n < 0)
        complain("negative");
    counter_of_thread += n;
    return deep(n, (int)counter_of_thread) + cloned(n, 4);
}

/* More of the same, so that there are some hundred addresses to ask for. */
#define VARIANT(n)                                                                                                     \
    __attribute__((noinline)) int variant_##n(int a) {                                                                 \
        int table[8 + n];                                                                                              \
        memset(table, a, sizeof(table));                                                                               \
        for (int i = 0; i < 8 + n; i++)                                                                                \
            if (table[i] > n)                                                                                          \
                table[i] = deep(table[i] & n, i) + square(table[i]);                                                   \
        return table[a & 7] + sum_of_squares(a, table[3]);                                                             \
    }
VARIANT(1)
VARIANT(2)
VARIANT(3)
VARIANT(4)
VARIANT(5)
VARIANT(6)

int chosen_plain(int x) {
    return x + 1;
}
static void *choose(void) {
    return chosen_plain;
}
int chosen(int x) __attribute__((ifunc("choose")));

extern int from_assembly(int);
extern int without_size(int);
__asm__(".text\n"
        ".globl from_assembly\n.type from_assembly,@function\n"
        "from_assembly:\n.cfi_startproc\n lea 1(%rdi),%eax\n ret\n.cfi_endproc\n.size from_assembly,.-from_assembly\n"
        ".globl without_size\n"
        "without_size:\n.cfi_startproc\n lea 2(%rdi),%eax\n nop\n nop\n ret\n.cfi_endproc\n");

static int compare(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return deep(2, x) < deep(2, y) ? -1 : 1;
}

int main(int argc, char **argv) {
    int table[64];
    for (int i = 0; i < 64; i++)
        table[i] = exported(i) + chosen(i) + from_assembly(i) + without_size(i) + variant_1(i) + variant_2(i) +
                   variant_3(i) + variant_4(i) + variant_5(i) + variant_6(i);
    qsort(table, 64, sizeof(int), compare);
    double r = argc > 1 ? sqrt(atof(argv[1])) : 1;
    printf("%d %f %d %d\n", table[3], r, plain_data[argc & 15], spare);
    return 0;
}
