/* scry ps: what is running here, and what can be asked of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "analyse/text.h"
#include "base/json.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "session/session.h"

static void list_json(struct buf *out, const struct session_listed *list, size_t n) {
    struct json j = json_to(out);
    json_array(&j);
    for (size_t i = 0; i < n; i++) {
        const struct session_listed *l = &list[i];
        json_object(&j);
        json_ku64(&j, "pid", (uint64_t)l->pid);
        json_kstring(&j, "user", l->user ? l->user : "");
        json_kstring(&j, "runtime", l->runtime ? l->runtime : "");
        json_ku64(&j, "threads", l->threads);
        json_kstring(&j, "container", l->container ? l->container : "");
        json_kbool(&j, "can_sample_cpu", l->can_sample);
        json_kbool(&j, "can_dump", l->can_read);
        json_kstring(&j, "missing", l->missing);
        json_kstring(&j, "command", l->command ? l->command : "");
        json_object_end(&j);
    }
    json_array_end(&j);
    buf_addc(out, '\n');
}

static const char *verbs_of(const struct session_listed *l) {
    if (l->can_sample)
        return l->can_read ? "cpu dump" : "cpu";
    return l->can_read ? "dump" : "-";
}

/* Columns of the table, and of what stands before the command in all. */
enum { USER = 10, RUNTIME = 22, CONTAINER = 12, BEFORE_COMMAND = 80, LEAST_COMMAND = 40, USUAL_COMMAND = 160 };

static size_t command_room(void) {
    unsigned width = terminal_width(STDOUT_FILENO);
    if (!terminal_is(STDOUT_FILENO))
        return USUAL_COMMAND;
    return width > BEFORE_COMMAND + 5 ? width - BEFORE_COMMAND : LEAST_COMMAND;
}

static void add_row(struct buf *out, const struct session_listed *l, size_t room) {
    buf_addf(out, "%7d  ", (int)l->pid);
    text_add_padded(out, l->user ? l->user : "", USER);
    buf_adds(out, "  ");
    text_add_padded(out, l->runtime ? l->runtime : "", RUNTIME);
    buf_addf(out, "  %7u  %-9s  ", l->threads, verbs_of(l));
    text_add_padded(out, l->container && l->container[0] ? l->container : "-", CONTAINER);
    buf_adds(out, "  ");
    text_add(out, l->command ? l->command : "", room);
    buf_addc(out, '\n');
}

static void list_text(struct buf *out, const struct session_listed *list, size_t n) {
    size_t room = command_room();
    buf_addf(out, "%7s  %-*s  %-*s  %7s  %-9s  %-*s  %s\n", "PID", USER, "USER", RUNTIME, "RUNTIME", "THREADS", "CAN",
             CONTAINER, "CONTAINER", "COMMAND");
    for (size_t i = 0; i < n; i++)
        add_row(out, &list[i], room);
    const char *shown = "";
    for (size_t i = 0; i < n; i++) {
        if (!list[i].missing[0] || strcmp(list[i].missing, shown) == 0)
            continue;
        shown = list[i].missing;
        buf_addf(out, "%7d: ", (int)list[i].pid);
        text_add(out, shown, TEXT_WHOLE);
        buf_addc(out, '\n');
    }
}

static bool is_listed(const struct session_listed *list, size_t n, pid_t pid) {
    for (size_t i = 0; i < n; i++)
        if (list[i].pid == pid)
            return true;
    return false;
}

static bool is_named(const struct options *o, pid_t pid) {
    for (size_t i = 0; i < o->n_pids; i++)
        if (o->pids[i] == pid)
            return true;
    return o->n_pids == 0;
}

/* Brings the processes that were named to the front, in their order; returns how many they are. */
static size_t choose(const struct options *o, struct session_listed *list, size_t n) {
    size_t chosen = 0;
    for (size_t i = 0; i < n; i++)
        if (is_named(o, list[i].pid)) {
            struct session_listed l = list[chosen];
            list[chosen++] = list[i];
            list[i] = l;
        }
    return chosen;
}

static int print_list(const struct options *o, struct session_listed *list, size_t all, struct err *err) {
    size_t n = choose(o, list, all);
    _cleanup_(buf_free) struct buf out = {0};
    if (o->json)
        list_json(&out, list, n);
    else
        list_text(&out, list, n);
    int rc = n || !o->n_pids ? output_text(&out, err) : 0;
    for (size_t i = 0; rc == 0 && i < o->n_pids; i++)
        if (!is_listed(list, n, o->pids[i]))
            rc = err_set(err, -ESRCH,
                         "It may have ended, or be a thread, or one of the kernel's; scry ps lists what is there",
                         "There is no process %d", (int)o->pids[i]);
    return rc;
}

int cmd_ps(const struct options *o, struct err *err) {
    struct session_listed *list = NULL;
    size_t n = 0;
    int rc = session_list(&list, &n, err);
    if (rc < 0)
        return rc;
    rc = print_list(o, list, n, err);
    session_list_free(list, n);
    return rc;
}
