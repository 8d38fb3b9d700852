/* Functions that compilers put inside of functions: GNU C's own, and the bodies of parallel loops. */
#include <stdio.h>

volatile int sink;

static inline __attribute__((always_inline)) int halve(int x) {
    sink = x;
    return x / 2;
}
static inline __attribute__((always_inline)) int quarter(int x) {
    return halve(halve(x) + 1);
}

__attribute__((noinline)) static int apply(int (*f)(int), int x) {
    return f(x) + sink;
}

__attribute__((noinline)) int outer(int n) {
    int bias = n * 3;
    __attribute__((noinline)) int nested(int x) {
        return quarter(x + bias) + halve(bias);
    }
    return apply(nested, n) + nested(n + 1);
}

__attribute__((noinline)) void parallel(int *all, int n) {
#pragma omp parallel for
    for (int i = 0; i < n; i++)
        all[i] = quarter(all[i]) + halve(i);
}

int main(int argc, char **argv) {
    int all[64] = {argc};
    parallel(all, 64);
    printf("%d %d\n", outer(argc), all[0]);
}
