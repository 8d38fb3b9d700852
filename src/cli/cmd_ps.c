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
        json_kstring(&j, "advice", l->advice ? l->advice : "");
        json_kstring(&j, "command", l->command ? l->command : "");
        json_object_end(&j);
    }
    json_array_end(&j);
    buf_addc(out, '\n');
}

static const char *verbs_of(const struct session_listed *l) {
    return l->can_sample ? "cpu dump" : l->can_read ? "dump" : "-";
}

/* ---- the table ---- */

enum { LEAST_COMMAND = 24, USUAL_COMMAND = 160 };

struct columns {
    size_t user, runtime, container; /* container 0: none of them is in one, and the column is left out */
    size_t command;
};

static const char *or_nothing(const char *text) {
    return text ? text : "";
}

/* As wide as the widest text, within bounds. */
static size_t fitting(size_t width, const char *text, size_t most) {
    return MAX(width, MIN(text_columns(or_nothing(text)), most));
}

static struct columns columns_of(const struct session_listed *list, size_t n) {
    enum { MOST_USER = 10, MOST_RUNTIME = 22, MOST_CONTAINER = 12, OTHERS = 32 };
    struct columns c = {.user = 4, .runtime = 7, .command = USUAL_COMMAND};
    for (size_t i = 0; i < n; i++) {
        c.user = fitting(c.user, list[i].user, MOST_USER);
        c.runtime = fitting(c.runtime, list[i].runtime, MOST_RUNTIME);
        if (list[i].container && list[i].container[0])
            c.container = MOST_CONTAINER;
    }
    size_t before = OTHERS + c.user + c.runtime + (c.container ? c.container + 2 : 0);
    size_t width = terminal_width(STDOUT_FILENO);
    if (terminal_is(STDOUT_FILENO))
        c.command = width > before + LEAST_COMMAND ? width - before : LEAST_COMMAND;
    return c;
}

static void add_row(struct buf *out, const struct session_listed *l, const struct columns *c) {
    buf_addf(out, "%7d  ", (int)l->pid);
    text_add_padded(out, or_nothing(l->user), c->user);
    buf_adds(out, "  ");
    text_add_padded(out, or_nothing(l->runtime), c->runtime);
    if (l->threads)
        buf_addf(out, "  %7u  %-8s  ", l->threads, verbs_of(l));
    else
        buf_addf(out, "  %7s  %-8s  ", "?", verbs_of(l));
    if (c->container) {
        text_add_padded(out, l->container && l->container[0] ? l->container : "-", c->container);
        buf_adds(out, "  ");
    }
    text_add(out, or_nothing(l->command), c->command);
    buf_addc(out, '\n');
}

/* ---- what is missing ---- */

/* A sentence without the process that it is about: those of many processes are the same. */
static const char *reason_of(const struct session_listed *l) {
    const char *text = or_nothing(l->missing), *end = strncmp(text, "Process ", 8) == 0 ? strstr(text, ") ") : NULL;
    return end ? end + 2 : text;
}

static void add_reason(struct buf *out, const struct session_listed *l, size_t others) {
    if (strncmp(l->missing, "Process ", 8) != 0)
        buf_addf(out, "%d: ", (int)l->pid);
    text_add(out, l->missing, TEXT_WHOLE);
    if (others)
        buf_addf(out, "; likewise %zu more", others);
    buf_addc(out, '\n');
    if (l->advice && l->advice[0]) {
        buf_adds(out, "  ");
        text_add(out, l->advice, TEXT_WHOLE);
        buf_addc(out, '\n');
    }
}

static void add_reasons(struct buf *out, const struct session_listed *list, size_t n) {
    enum { MOST = 20 };
    size_t first[MOST], others[MOST] = {0}, found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        if (!reason_of(&list[i])[0])
            continue;
        while (k < found && strcmp(reason_of(&list[first[k]]), reason_of(&list[i])) != 0)
            k++;
        if (k < found)
            others[k]++;
        else if (found < MOST)
            first[found++] = i;
    }
    buf_adds(out, found ? "\n" : "");
    for (size_t k = 0; k < found; k++)
        add_reason(out, &list[first[k]], others[k]);
}

static void list_text(struct buf *out, const struct session_listed *list, size_t n) {
    struct columns c = columns_of(list, n);
    buf_addf(out, "%7s  %-*s  %-*s  %7s  %-8s  ", "PID", (int)c.user, "USER", (int)c.runtime, "RUNTIME", "THREADS",
             "CAN");
    if (c.container)
        buf_addf(out, "%-*s  ", (int)c.container, "CONTAINER");
    buf_adds(out, "COMMAND\n");
    for (size_t i = 0; i < n; i++)
        add_row(out, &list[i], &c);
    add_reasons(out, list, n);
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
            rc = session_why_not_listed(o->pids[i], err);
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
