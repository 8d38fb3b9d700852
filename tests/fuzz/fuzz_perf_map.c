/* perf maps and the names in them, mangled or not. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "symbol/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct symbol_perf_maps all = {.limit = 1 << 20};
    struct symbol_perf_map *m = NULL;
    int fd = memfd_create("map", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size / 2) != (ssize_t)(size / 2) || symbol_perf_map_open_fd(dup(fd), &all, &m) < 0)
        abort();
    const char *first = symbol_perf_map_lookup(m, 0x1000);
    size_t length = strlen(first);
    if (write(fd, data + size / 2, size - size / 2) != (ssize_t)(size - size / 2)) /* what is appended later */
        abort();
    for (uint64_t address = 0; address < 0x10000; address += 0x101)
        (void)strlen(symbol_perf_map_lookup(m, address));
    if (strlen(first) != length)
        abort();
    symbol_perf_map_close(m);
    if (all.held != 0)
        abort();
    close(fd);
    char *text = mem_strndup((const char *)data, size);
    if (text)
        free(symbol_demangle(text));
    free(text);
    return 0;
}
