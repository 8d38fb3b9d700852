/* What processes mapped lately, as the kernel told it: the code mappings of a process that ended before it
 * could be asked for them. Private to session/.
 * May use: session/assemble.h, source/cpu/cpu_record.h.
 * Must not: open files or processes. */
#pragma once

#include "session/assemble.h"
#include "source/cpu/cpu_record.h"

enum { MAPPED_EVENTS = 8192 }; /* of all processes together; older ones are forgotten */

struct mapped_event {
    uint64_t time_ns;
    u32 pid;
    bool new_image; /* exec: what was mapped before is gone */
    struct target_mapping mapping;
    char *path; /* owned; mapping.path */
};

struct mapped_log {
    struct mapped_event *events; /* a ring of MAPPED_EVENTS, NULL before the first */
    size_t next;
    struct u64_map images; /* pid → time of the last new image that is in the ring: most have none */
};

/* Takes a copy. 0 or -ENOMEM. */
int mapped_log_add(struct mapped_log *log, const struct cpu_mapped *record);
void mapped_log_free(struct mapped_log *log);

/* The code that was mapped by the program that process `pid` ran at `time_ns`, up to its end or the next exec,
 * sorted by address; the caller frees *ret, whose paths live as long as the log is not changed. *ret_since is
 * when the program began. 0, -ENOENT when its exec is not in the log, or -ENOMEM. */
int mapped_log_list(const struct mapped_log *log, u32 pid, uint64_t time_ns, struct target_mapping **ret,
                    size_t *ret_count, uint64_t *ret_since);

/* Whether process `pid` gave up its memory for a new program's in (from_ns, to_ns]. */
bool mapped_new_image(const struct mapped_log *log, u32 pid, uint64_t from_ns, uint64_t to_ns);

/* What of the native frames of a walk can be trusted, if process `p` mapped code between the list of mappings
 * that the walk went by and the one that names it. `in_user_space`: the walk was done later, by the present
 * list. */
struct assemble_trust mapped_trust(const struct mapped_log *log, const struct session_process *p,
                                   const struct walk_stack *walk, uint64_t time_ns, bool in_user_space);
