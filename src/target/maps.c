/* The list of mappings, from the text of /proc/PID/maps. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/mem.h"
#include "target/internal.h"

void maps_free(struct mapping_list *list) {
    free(list->all);
    free(list->text);
    *list = (struct mapping_list){0};
}

/* Reads a number up to `end`; advances *p. */
static uint64_t number(const char **p, const char *end, unsigned base) {
    uint64_t v = 0;
    for (; *p < end; (*p)++) {
        char c = **p;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= base)
            break;
        v = v * base + digit;
    }
    return v;
}

static bool skip(const char **p, const char *end, char c) {
    if (*p == end || **p != c)
        return false;
    (*p)++;
    return true;
}

/* The kernel writes newlines in paths as \012 and marks unlinked files with " (deleted)". */
static void clean_path(char *path, bool *ret_deleted) {
    static const char deleted[] = " (deleted)";
    size_t n = strlen(path), d = sizeof(deleted) - 1;
    if (n > d && strcmp(path + n - d, deleted) == 0) {
        path[n - d] = '\0';
        *ret_deleted = true;
    }
    char *to = path;
    for (const char *from = path; *from; from++) {
        if (strncmp(from, "\\012", 4) == 0) {
            *to++ = '\n';
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* "start-end perm offset major:minor inode   path" */
static bool parse_line(char *line, char *end, struct target_mapping *ret) {
    const char *p = line;
    *ret = (struct target_mapping){.path = ""};
    ret->start = number(&p, end, 16);
    if (!skip(&p, end, '-'))
        return false;
    ret->end = number(&p, end, 16);
    if (!skip(&p, end, ' ') || end - p < 5 || ret->end <= ret->start)
        return false;
    ret->protection = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) | (p[2] == 'x' ? PROT_EXEC : 0);
    p += 4;
    if (!skip(&p, end, ' '))
        return false;
    ret->offset = number(&p, end, 16);
    if (!skip(&p, end, ' '))
        return false;
    uint64_t major = number(&p, end, 16);
    if (!skip(&p, end, ':'))
        return false;
    uint64_t minor = number(&p, end, 16);
    ret->device = makedev((unsigned)major, (unsigned)minor);
    if (!skip(&p, end, ' '))
        return false;
    ret->inode = number(&p, end, 10);
    while (p < end && *p == ' ')
        p++;
    char *path = line + (p - line);
    if (path[0] == '/')
        clean_path(path, &ret->deleted);
    ret->path = path;
    return true;
}

int maps_parse(const char *text, size_t size, struct mapping_list *ret) {
    struct mapping_list list = {.text = mem_alloc(size + 1)};
    if (!list.text)
        return -ENOMEM;
    memcpy(list.text, text, size);
    list.text[size] = '\0';
    char *line = list.text, *end = list.text + size;
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        char *stop = newline ? newline : end;
        *stop = '\0';
        struct target_mapping m;
        if (parse_line(line, stop, &m) && (!list.count || m.start >= list.all[list.count - 1].end)) {
            if (mem_grow((void **)&list.all, &list.capacity, list.count + 1, sizeof(m)) < 0) {
                maps_free(&list);
                return -ENOMEM;
            }
            list.all[list.count++] = m;
        }
        line = stop + 1;
    }
    *ret = list;
    return 0;
}
