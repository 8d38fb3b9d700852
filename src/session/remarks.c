#include "session/remarks.h"

#include <stdio.h>

static const char *whole(bool sees_all) {
    return sees_all ? "the whole host" : "all of this container (a pid namespace)";
}

void remarks_describe(struct capture *c) {
    struct profile *p = c->profile;
    const struct session_options *o = c->options;
    char host[256] = "", text[512] = "";
    gethostname(host, sizeof(host) - 1);
    p->host = profile_string(p, host);
    if (o->command)
        snprintf(text, sizeof(text), "%s", o->command[0]);
    else if (o->n_pids == 1 && c->processes.count)
        snprintf(text, sizeof(text), "%s (pid %d)%s", profile_str(p, c->processes.all[0]->name), (int)o->pids[0],
                 c->processes.count > 1 ? " and its children" : "");
    else if (o->n_pids)
        snprintf(text, sizeof(text), "%zu processes", o->n_pids);
    else
        snprintf(text, sizeof(text), "%s%s", o->cgroup ? "control group " : whole(cpu_source_sees_all()),
                 o->cgroup ? o->cgroup : "");
    p->command = profile_string(p, text);
}

static void note_standstill(struct capture *c, pid_t pid) {
    const struct session_process *known = process_table_find(&c->processes, (u32)pid);
    const char *name = known ? profile_str(c->profile, known->name) : "?";
    switch (target_standstill(pid)) {
    case TARGET_STOPPED:
        profile_note(c->profile, PROFILE_NOTHING_RAN "process %d (%s) is stopped. kill -CONT %d lets it go on",
                     (int)pid, name, (int)pid);
        break;
    case TARGET_TRACED:
        profile_note(c->profile, PROFILE_NOTHING_RAN "a debugger holds process %d (%s)", (int)pid, name);
        break;
    case TARGET_FROZEN:
        profile_note(c->profile,
                     PROFILE_NOTHING_RAN
                     "process %d (%s) is frozen, by its control group. What froze it thaws it: systemctl thaw, docker "
                     "unpause, or echo 0 > cgroup.freeze",
                     (int)pid, name);
        break;
    case TARGET_NOT_STILL:
        break;
    }
}

static void note_namespace(struct capture *c, uint64_t samples) {
    const struct session_options *o = c->options;
    if (cpu_source_sees_all())
        return;
    if (o->all)
        profile_note(c->profile, "scry runs in a pid namespace of its own, as containers have: processes outside of it "
                                 "are not seen. On the host -a samples all");
    else if (o->cgroup && !samples && !profile_says_why_nothing_ran(c->profile))
        profile_note(c->profile, PROFILE_NOTHING_RAN
                     "nothing that is seen from here. scry runs in a pid namespace of its own, as containers have: "
                     "processes outside of it are not seen, though their control groups may be");
}

void remarks_note(struct capture *c) {
    const struct session_options *o = c->options;
    uint64_t samples = c->profile->quality.samples_taken;
    for (size_t i = 0; i < o->n_pids && !samples; i++)
        note_standstill(c, o->pids[i]);
    if (o->cgroup)
        group_note(&c->group, c->profile, samples, c->began_ns);
    note_namespace(c, samples);
}
