/* Kernel functions, from /proc/kallsyms: "address type name[\t[module]]". Read at the first look-up. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "symbol/internal.h"

struct kernel_function {
    uint64_t address;
    const char *name, *module;
};

struct symbol_kernel {
    bool loaded;
    struct arena arena;
    struct kernel_function *all;
    size_t count, capacity;
    const char *last_module;
};

int symbol_kernel_open(struct symbol_kernel **ret, struct err *err) {
    char head[17] = "";
    _cleanup_(closep) int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, head, 16) != 16)
        return err_set(err, -ENOENT, NULL, "/proc/kallsyms cannot be read");
    /* The very first symbols may truly lie at 0 (per-CPU data); the text never does. */
    _cleanup_(buf_free) struct buf b = {0};
    char restrict_[8] = "0";
    if (file_read("/proc/sys/kernel/kptr_restrict", 16, &b, NULL) == 0 && b.len)
        restrict_[0] = b.data[0];
    if (restrict_[0] == '2' || (restrict_[0] == '1' && geteuid() != 0))
        return err_set(err, -EPERM, "Set kernel.kptr_restrict to 0, or give scry CAP_SYSLOG",
                       "kernel addresses are hidden (kptr_restrict is %c)", restrict_[0]);
    struct symbol_kernel *k = mem_zalloc(1, sizeof(*k));
    if (!k)
        return err_nomem(err);
    *ret = k;
    return 0;
}

void symbol_kernel_close(struct symbol_kernel *k) {
    if (!k)
        return;
    arena_free(&k->arena);
    free(k->all);
    free(k);
}

static const char *module_name(struct symbol_kernel *k, const char *text, size_t n) {
    if (!k->last_module || strlen(k->last_module) != n || memcmp(k->last_module, text, n) != 0)
        k->last_module = arena_strndup(&k->arena, text, n);
    return k->last_module ? k->last_module : "";
}

/* Keeps the line if it names a function. */
static void add_line(struct symbol_kernel *k, const char *line, const char *end) {
    uint64_t address = 0;
    const char *p = line;
    for (; p < end && *p != ' '; p++)
        address = address << 4 | (uint64_t)(*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
    if (end - p < 4 || address == 0 || !strchr("tTwW", p[1]))
        return;
    const char *name = p + 3, *tab = memchr(name, '\t', (size_t)(end - name));
    size_t n = (size_t)((tab ? tab : end) - name);
    if (mem_grow((void **)&k->all, &k->capacity, k->count + 1, sizeof(*k->all)) < 0)
        return;
    struct kernel_function f = {.address = address, .name = arena_strndup(&k->arena, name, n), .module = ""};
    if (tab && end - tab > 3)
        f.module = module_name(k, tab + 2, (size_t)(end - tab) - 3);
    if (f.name)
        k->all[k->count++] = f;
}

static int by_address(const void *a, const void *b) {
    const struct kernel_function *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* Line by line through a small window: the whole text is tens of megabytes. */
static void load(struct symbol_kernel *k) {
    k->loaded = true;
    _cleanup_(closep) int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    _cleanup_(freep) char *window = mem_alloc(1 << 18);
    size_t held = 0;
    ssize_t n;
    if (fd < 0 || !window)
        return;
    while ((n = read(fd, window + held, (1 << 18) - held)) > 0) {
        char *line = window, *end = window + held + n, *newline;
        while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
            add_line(k, line, newline);
            line = newline + 1;
        }
        held = (size_t)(end - line);
        if (held == 1 << 18)
            return; /* no kernel writes such a line */
        memmove(window, line, held);
    }
    if (k->count)
        qsort(k->all, k->count, sizeof(*k->all), by_address);
}

const char *symbol_kernel_lookup(struct symbol_kernel *k, uint64_t address, const char **ret_module) {
    *ret_module = "";
    if (!k->loaded)
        load(k);
    size_t low = 0, high = k->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (k->all[mid].address <= address)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0 || address - k->all[low - 1].address > 1 << 20)
        return "";
    *ret_module = k->all[low - 1].module;
    return k->all[low - 1].name;
}
