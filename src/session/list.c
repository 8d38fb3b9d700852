/* The processes of this machine and what can be asked of them. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "lang/lang.h"
#include "session/session.h"
#include "source/cpu/cpu_open.h"
#include "target/target.h"

void session_list_free(struct session_listed *list, size_t count) {
    for (size_t i = 0; list && i < count; i++) {
        free(list[i].user);
        free(list[i].command);
        free(list[i].runtime);
        free(list[i].container);
        free(list[i].missing);
        free(list[i].advice);
    }
    free(list);
}

static char *user_name(uid_t uid) {
    struct passwd *pw = getpwuid(uid);
    return pw ? mem_strdup(pw->pw_name) : mem_printf("%u", (unsigned)uid);
}

/* Sets *ret_missing when the runtime that is there cannot be read. */
static char *runtime_of(struct target *t, char **ret_missing) {
    struct lang_process *lp = NULL;
    struct err why = {0};
    enum lang_id lang = LANG_native;
    int rc = lang_attach(t, &lang, &lp, &why);
    if (rc == 0) {
        char *text = mem_printf("%s %s", langs[lang]->name, langs[lang]->version(lp));
        langs[lang]->detach(lp);
        return text;
    }
    if (rc != -ENOENT)
        *ret_missing = mem_printf("%s frames: %s", langs[lang]->title, why.text);
    return mem_strdup(langs[lang]->name);
}

static bool fill(struct session_listed *l, pid_t pid) {
    struct target *t = NULL;
    struct err err = {0};
    l->pid = pid;
    if (target_open(pid, &t, &err) < 0) {
        if (err.code != -EPERM && err.code != -ENOTSUP)
            return false; /* gone, a kernel thread, a zombie: not for this list */
        struct target_info info;
        if (target_read_info(pid, &info) < 0)
            return false;
        l->user = user_name(info.uid);
        l->command = mem_strdup(info.command_line && info.command_line[0] ? info.command_line : info.comm);
        l->container = mem_strdup(info.container);
        l->runtime = mem_strdup("?");
        l->missing = mem_strdup(err.text);
        l->advice = mem_strdup(err.advice);
        target_info_clear(&info);
        return true;
    }
    const struct target_info *info = target_get_info(t);
    pid_t *tids = NULL;
    size_t n = 0;
    if (target_threads(t, &tids, &n) == 0)
        l->threads = (unsigned)n;
    free(tids);
    l->user = user_name(info->uid);
    l->command = mem_strdup(info->command_line && info->command_line[0] ? info->command_line : info->comm);
    l->container = mem_strdup(info->container);
    l->runtime = runtime_of(t, &l->missing);
    l->can_read = true;
    target_close(t);
    return true;
}

int session_list(struct session_listed **ret, size_t *ret_count, struct err *err) {
    pid_t *pids = NULL;
    size_t n = 0;
    int rc = target_check_proc(err);
    if (rc < 0)
        return rc;
    rc = target_list(&pids, &n);
    if (rc < 0)
        return err_set(err, rc, "Mount /proc", "Cannot read /proc: %s", strerror(-rc));
    struct session_listed *list = mem_zalloc(n, sizeof(*list));
    if (!list) {
        free(pids);
        return err_nomem(err);
    }
    struct err why = {0};
    bool can_sample = cpu_check_kernel(&why) == 0 && cpu_check_privileges(&why) == 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (pids[i] == getpid() || !fill(&list[k], pids[i]))
            continue;
        list[k].can_sample = can_sample && list[k].can_read;
        if (!list[k].missing && !can_sample)
            list[k].advice = mem_strdup(why.advice);
        if (!list[k].missing)
            list[k].missing = mem_strdup(can_sample ? "" : why.text);
        k++;
    }
    free(pids);
    *ret = list;
    *ret_count = k;
    return 0;
}

int session_why_not_listed(pid_t pid, struct err *err) {
    _cleanup_(target_closep) struct target *t = NULL;
    if (pid == getpid())
        return err_set(err, -EINVAL, "Name another process", "Process %d is scry itself", (int)pid);
    int rc = target_open(pid, &t, err);
    return rc < 0 ? rc : err_set(err, -ESRCH, "Try again", "Process %d had just begun", (int)pid);
}
