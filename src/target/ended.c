/* A process that has ended, of which only the code mappings are known: its files can still be opened by their
 * names, if these still name them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "target/internal.h"

static int copy_mappings(const struct target_mapping *from, size_t count, struct mapping_list *to) {
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(from[i].path) + 1;
    to->all = mem_alloc(MAX(count, 1u) * sizeof(*to->all));
    to->text = mem_alloc(size);
    if (!to->all || !to->text)
        return -ENOMEM;
    to->count = to->capacity = count;
    char *text = to->text;
    for (size_t i = 0; i < count; i++) {
        to->all[i] = from[i];
        to->all[i].path = text;
        text = stpcpy(text, from[i].path) + 1;
    }
    return 0;
}

int target_open_ended(pid_t pid, const char *comm, const struct target_mapping *mappings, size_t count,
                      struct target *parent, struct target **ret, struct err *err) {
    _cleanup_(target_closep) struct target *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->pid = pid;
    t->proc_fd = t->memory_fd = -1;
    t->ended = t->info_read = true;
    t->root_fd = parent ? open_root(parent) : -1;
    if (copy_mappings(mappings, count, &t->mappings) < 0)
        return err_nomem(err);
    if (parent)
        snprintf(t->info.container, sizeof(t->info.container), "%s", target_get_info(parent)->container);
    t->info.pid = t->info.ns_pid = pid;
    snprintf(t->info.comm, sizeof(t->info.comm), "%s", comm);
    make_printable(t->info.comm, strlen(t->info.comm));
    *ret = TAKE_PTR(t);
    return 0;
}
