/* Kernel functions, from /proc/kallsyms: "address type name[\t[module]]". Programs loaded into the kernel's
 * virtual machine appear there too, as of module "bpf". Read at the first look-up; 16 bytes and a name each. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/bisect.h"
#include "base/file.h"
#include "base/sort.h"
#include "symbol/internal.h"

enum {
    WINDOW = 256 << 10, /* of text at a time: the whole is tens of megabytes */
    MAX_NAME_BYTES = 256 << 20,
    MAX_FUNCTION_BYTES = 1 << 20, /* nothing is that long: beyond it lies something else */
};

struct kernel_function {
    uint64_t address; /* must be first: they are sorted by it */
    uint32_t name;    /* offset into text */
    uint16_t module;  /* index into modules */
    uint16_t rank;    /* of names at one address the highest wins */
};

struct symbol_kernel {
    int fd;
    bool loaded;
    struct buf text;
    struct kernel_function *all;
    size_t count, capacity;
    uint32_t *modules; /* offsets into text; 0 is the kernel itself */
    size_t n_modules, cap_modules;
};

/* ---- opening ---- */

struct line {
    uint64_t address;
    char type;
    const char *name, *module; /* not terminated */
    size_t name_length, module_length;
};

static bool read_hex(const char **at, const char *end, uint64_t *ret) {
    const char *p = *at;
    uint64_t v = 0;
    for (; p < end && *p != ' '; p++) {
        int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    if (p == *at || p == end)
        return false;
    *ret = v;
    *at = p;
    return true;
}

static bool read_line(const char *p, const char *end, struct line *ret) {
    *ret = (struct line){0};
    if (!read_hex(&p, end, &ret->address) || end - p < 4 || p[2] != ' ')
        return false;
    ret->type = p[1];
    ret->name = p + 3;
    const char *tab = memchr(ret->name, '\t', (size_t)(end - ret->name));
    ret->name_length = (size_t)((tab ? tab : end) - ret->name);
    if (tab && end - tab > 3 && tab[1] == '[') {
        ret->module = tab + 2;
        ret->module_length = (size_t)(end - ret->module) - (end[-1] == ']');
    }
    return ret->name_length > 0;
}

/* Hands over line by line until the callback returns non-zero, which is returned. */
static int each_line(int fd, int (*take)(struct symbol_kernel *k, const struct line *line), struct symbol_kernel *k) {
    _cleanup_(freep) char *window = mem_alloc(WINDOW);
    size_t held = 0;
    ssize_t n;
    if (!window)
        return -ENOMEM;
    while ((n = read(fd, window + held, WINDOW - held)) > 0) {
        char *at = window, *end = window + held + n, *newline;
        while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
            struct line line;
            int rc = read_line(at, newline, &line) ? take(k, &line) : 0;
            if (rc)
                return rc;
            at = newline + 1;
        }
        held = (size_t)(end - at);
        if (held == WINDOW)
            return -EBADMSG; /* no kernel writes such a line */
        memmove(window, at, held);
    }
    return n < 0 ? -errno : 0;
}

/* The very first symbols may truly lie at 0 (per-CPU data); the text never does. */
static int is_visible(struct symbol_kernel *k, const struct line *line) {
    return strchr("tT", line->type) ? (line->address ? 1 : -EPERM) : 0;
}

static int hidden(struct err *err) {
    _cleanup_(buf_free) struct buf b = {0};
    if (file_read("/proc/sys/kernel/kptr_restrict", 16, &b, NULL) == 0 && buf_cstr(&b)[0] == '2')
        return err_set(err, -EPERM,
                       "Set kernel.kptr_restrict to 1 or 0, for instance: sudo sysctl kernel.kptr_restrict=1",
                       "The kernel hides its addresses (kernel.kptr_restrict is 2)");
    return err_set(err, -EPERM, "Run scry as root, or give it CAP_SYSLOG",
                   "The kernel shows its addresses to those with CAP_SYSLOG alone");
}

int symbol_kernel_open_path(const char *path, struct symbol_kernel **ret, struct err *err) {
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, NULL, "Cannot read %s: %s", path, strerror(errno));
    int rc = each_line(fd, is_visible, NULL);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -EPERM)
        return hidden(err);
    if (rc <= 0)
        return err_set(err, -ENOENT, NULL, "%s names no functions", path);
    struct symbol_kernel *k = mem_zalloc(1, sizeof(*k));
    if (!k)
        return err_nomem(err);
    k->fd = TAKE_FD(fd);
    k->text.limit = MAX_NAME_BYTES;
    *ret = k;
    return 0;
}

int symbol_kernel_open(struct symbol_kernel **ret, struct err *err) {
    return symbol_kernel_open_path("/proc/kallsyms", ret, err);
}

void symbol_kernel_close(struct symbol_kernel *k) {
    if (!k)
        return;
    if (k->fd >= 0)
        close(k->fd);
    buf_free(&k->text);
    free(k->all);
    free(k->modules);
    free(k);
}

/* ---- loading ---- */

static uint32_t add_text(struct symbol_kernel *k, const char *s, size_t n) {
    uint32_t at = (uint32_t)k->text.len;
    buf_add(&k->text, s, n);
    buf_addc(&k->text, '\0');
    return at;
}

/* The functions of a module stand together, so only the last one is compared. */
static uint16_t module_of(struct symbol_kernel *k, const struct line *line) {
    if (!line->module)
        return 0;
    const char *last = k->n_modules ? k->text.data + k->modules[k->n_modules - 1] : "";
    if (strncmp(last, line->module, line->module_length) == 0 && last[line->module_length] == '\0')
        return (uint16_t)(k->n_modules - 1);
    if (k->n_modules > UINT16_MAX ||
        mem_grow((void **)&k->modules, &k->cap_modules, k->n_modules + 1, sizeof(*k->modules)) < 0)
        return 0;
    k->modules[k->n_modules++] = add_text(k, line->module, line->module_length);
    return (uint16_t)(k->n_modules - 1);
}

static uint16_t rank_of(const struct line *line) {
    size_t underscores = 0;
    while (underscores < line->name_length && line->name[underscores] == '_')
        underscores++;
    return (uint16_t)((line->type == 'T' ? 16 : line->type == 't' ? 8 : 0) + (7 - MIN(underscores, (size_t)7)));
}

static int add_function(struct symbol_kernel *k, const struct line *line) {
    if (line->address == 0 || !strchr("tTwW", line->type))
        return 0;
    if (mem_grow((void **)&k->all, &k->capacity, k->count + 1, sizeof(*k->all)) < 0)
        return -ENOMEM;
    struct kernel_function f = {.address = line->address, .rank = rank_of(line)};
    f.module = module_of(k, line);
    f.name = add_text(k, line->name, line->name_length);
    if (k->text.failed)
        return -ENOMEM;
    k->all[k->count++] = f;
    return 0;
}

/* Of several functions at one address the first of the best; they stand in the order of the list. */
static int sort(struct symbol_kernel *k) {
    size_t n = 1;
    if (sort_by_key(k->all, k->count, sizeof(*k->all)) < 0)
        return -ENOMEM;
    for (size_t i = 1; i < k->count; i++) {
        struct kernel_function *last = &k->all[n - 1];
        if (k->all[i].address != last->address)
            k->all[n++] = k->all[i];
        else if (k->all[i].rank > last->rank)
            *last = k->all[i];
    }
    k->count = n;
    return 0;
}

void symbol_kernel_read(struct symbol_kernel *k) {
    if (k->loaded)
        return;
    k->loaded = true;
    if (lseek(k->fd, 0, SEEK_SET) == 0 &&
        mem_grow((void **)&k->modules, &k->cap_modules, 1, sizeof(*k->modules)) == 0) {
        k->modules[k->n_modules++] = add_text(k, "", 0);
        each_line(k->fd, add_function, k);
    }
    close(TAKE_FD(k->fd));
    if (k->count && sort(k) < 0)
        k->count = 0;
    buf_trim(&k->text);
    mem_fit((void **)&k->all, &k->capacity, k->count, sizeof(*k->all));
}

const char *symbol_kernel_lookup(struct symbol_kernel *k, uint64_t address, const char **ret_module) {
    *ret_module = "";
    symbol_kernel_read(k);
    size_t low = bisect(i, k->count, k->all[i].address <= address);
    if (low == 0 || address - k->all[low - 1].address > MAX_FUNCTION_BYTES)
        return "";
    const struct kernel_function *f = &k->all[low - 1];
    *ret_module = k->text.data + k->modules[f->module];
    return k->text.data + f->name;
}
