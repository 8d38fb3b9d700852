/* Why a process, or all of a control group, does not run at all. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "target/internal.h"

struct target_group_state target_group_state(int group_fd) {
    char text[256] = "";
    if (proc_read_text(group_fd, "cgroup.events", text, sizeof(text)) < 0)
        return (struct target_group_state){.populated = true}; /* the first group of all has none */
    return (struct target_group_state){.frozen = strstr(text, "frozen 1") != NULL,
                                       .populated = strstr(text, "populated 0") == NULL};
}

static bool group_is_frozen(pid_t pid) {
    struct target_info info;
    bool frozen = false;
    if (target_read_info(pid, &info) < 0)
        return false;
    _cleanup_(closep) int fd = info.cgroup[0] ? target_open_cgroup_within(info.cgroup) : -1;
    frozen = fd >= 0 && target_group_state(fd).frozen;
    target_info_clear(&info);
    return frozen;
}

enum target_standstill target_standstill(pid_t pid) {
    struct proc_stat st;
    _cleanup_(closep) int fd = proc_open(pid);
    if (fd < 0 || proc_read_stat(fd, "stat", &st) < 0)
        return TARGET_NOT_STILL;
    if (group_is_frozen(pid))
        return TARGET_FROZEN;
    return st.state == 'T' ? TARGET_STOPPED : st.state == 't' ? TARGET_TRACED : TARGET_NOT_STILL;
}
