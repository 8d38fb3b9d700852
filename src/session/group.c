#include "session/group.h"

#include <errno.h>
#include <sys/stat.h>

/* Takes over `fd`. */
static int take(struct group *g, int fd) {
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    group_close(g);
    g->fd = fd;
    g->device = st.st_dev;
    g->inode = st.st_ino;
    return 0;
}

static bool is_same(const struct group *g, int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && g->device == st.st_dev && g->inode == st.st_ino;
}

int group_open(struct group *g, const char *name, struct err *err) {
    g->name = name;
    g->fd = -1;
    int fd = target_open_cgroup(name, err);
    return fd < 0 ? fd : take(g, fd);
}

void group_close(struct group *g) {
    if (g->name && g->fd >= 0)
        close(TAKE_FD(g->fd));
}

bool group_look(struct group *g, uint64_t now_ns) {
    _cleanup_(closep) int fd = target_open_cgroup(g->name, NULL);
    if (fd < 0) {
        if (!g->gone_since_ns)
            g->gone_since_ns = now_ns;
        return false;
    }
    g->gone_since_ns = 0;
    if (is_same(g, fd) || take(g, TAKE_FD(fd)) < 0)
        return false;
    g->times_anew++;
    return true;
}

static void note_nothing(const struct group *g, struct profile *p) {
    struct target_group_state state = target_group_state(g->fd);
    if (state.frozen)
        profile_note(p,
                     PROFILE_NOTHING_RAN
                     "the control group %s is frozen. What froze it thaws it: systemctl thaw, docker unpause, or "
                     "echo 0 > cgroup.freeze",
                     g->name);
    else if (!state.populated)
        profile_note(p, PROFILE_NOTHING_RAN "the control group %s has no processes", g->name);
}

void group_note(struct group *g, struct profile *p, uint64_t samples, uint64_t began_ns) {
    if (g->times_anew)
        profile_note(
            p,
            "The control group %s was removed and made anew, %u time%s: of what ran in it then up to a second is "
            "missing",
            g->name, g->times_anew, g->times_anew == 1 ? "" : "s");
    if (g->gone_since_ns)
        profile_note(p, "%sthe control group %s was gone from second %.1f on", samples ? "" : PROFILE_NOTHING_RAN,
                     g->name, (double)(g->gone_since_ns - began_ns) / 1e9);
    else if (!samples)
        note_nothing(g, p);
}
