/* scry ps: what is running here, and what can be asked of it. */
#include <stdio.h>
#include <string.h>

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
        json_kstring(&j, "missing", l->missing ? l->missing : "");
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

static void list_text(struct buf *out, const struct session_listed *list, size_t n) {
    unsigned width = terminal_width(STDOUT_FILENO);
    buf_addf(out, "%7s  %-10s  %-22s  %7s  %-9s  %-12s  %s\n", "PID", "USER", "RUNTIME", "THREADS", "CAN", "CONTAINER",
             "COMMAND");
    for (size_t i = 0; i < n; i++) {
        const struct session_listed *l = &list[i];
        const char *command = l->command ? l->command : "";
        int room = width > 85 ? (int)width - 80 : 40;
        buf_addf(out, "%7d  %-10.10s  %-22.22s  %7u  %-9s  %-12.12s  %.*s\n", (int)l->pid, l->user ? l->user : "",
                 l->runtime ? l->runtime : "", l->threads, verbs_of(l),
                 l->container && l->container[0] ? l->container : "-", terminal_is(STDOUT_FILENO) ? room : 160,
                 command);
    }
    const char *shown = "";
    for (size_t i = 0; i < n; i++) {
        if (!list[i].missing || !list[i].missing[0] || strcmp(list[i].missing, shown) == 0)
            continue;
        shown = list[i].missing;
        buf_addf(out, "%7d: %s\n", (int)list[i].pid, shown);
    }
}

int cmd_ps(const struct options *o, struct err *err) {
    struct session_listed *list = NULL;
    size_t n = 0;
    int rc = session_list(&list, &n, err);
    if (rc < 0)
        return rc;
    _cleanup_(buf_free) struct buf out = {0};
    if (o->json)
        list_json(&out, list, n);
    else
        list_text(&out, list, n);
    session_list_free(list, n);
    return output_text(&out, err);
}
