/* Names addresses for the tests: `symbol_probe FILE [DEBUG_ROOT [EXPECTED]]` reads addresses of the file (in
 * hexadecimal, one a line, sorted) and prints for each
 *     @address
 *     name<TAB>system name<TAB>file<TAB>line<TAB>column<TAB>start line<TAB>inlined   (innermost first)
 * The first EXPECTED of them are said to be wanted beforehand, and no others. At the end it prints, on stderr, what it
 * cost: microseconds until the file was open, for the first address, and per further address; kilobytes of memory at
 * the most. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "symbol/symbol.h"

static void print(uint64_t address, const struct symbol_location *at, size_t n) {
    printf("@%llx\n", (unsigned long long)address);
    for (size_t i = 0; i < n; i++)
        printf("%s\t%s\t%s\t%u\t%u\t%u\t%d\n", at[i].name, at[i].system_name, at[i].file, at[i].line, at[i].column,
               at[i].start_line, at[i].inlined);
}

static void report(uint64_t opened, uint64_t first, uint64_t rest, size_t n) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    fprintf(stderr, "open %.0f us, first %.0f us, others %.2f us each of %zu, peak %ld KB\n", (double)opened / 1e3,
            (double)first / 1e3, n > 1 ? (double)rest / 1e3 / (double)(n - 1) : 0, n, usage.ru_maxrss);
}

/* Reads all of the addresses. */
static uint64_t *read_addresses(size_t *ret_count) {
    uint64_t *all = NULL;
    size_t capacity = 0, n = 0;
    char line[64];
    while (fgets(line, sizeof(line), stdin) && mem_grow((void **)&all, &capacity, n + 1, sizeof(*all)) == 0)
        all[n++] = strtoull(line, NULL, 16);
    *ret_count = n;
    return all;
}

int main(int argc, char **argv) {
    _cleanup_(symbol_file_closep) struct symbol_file *f = NULL;
    struct symbol_search search = {.debug_root = argc > 2 && argv[2][0] ? argv[2] : NULL};
    struct err err = {0};
    uint64_t start = clock_monotonic_ns(), first = 0, rest = 0;
    if (argc < 2)
        return 2;
    if (symbol_file_open(open(argv[1], O_RDONLY | O_CLOEXEC), argv[1], &search, &f, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    uint64_t opened = clock_monotonic_ns() - start;
    size_t count;
    _cleanup_(freep) uint64_t *addresses = read_addresses(&count);
    if (argc > 3) {
        symbol_file_prepare(f);
        symbol_file_expect(f, addresses, MIN((size_t)strtoul(argv[3], NULL, 10), count));
    }
    for (size_t i = 0; i < count; i++) {
        struct symbol_location at[SYMBOL_MAX_INLINES];
        start = clock_monotonic_ns();
        size_t n = symbol_file_lookup(f, addresses[i], at, SYMBOL_MAX_INLINES);
        *(i ? &rest : &first) += clock_monotonic_ns() - start;
        print(addresses[i], at, n);
    }
    report(opened, first, rest, count);
    return 0;
}
