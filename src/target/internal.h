/* What the files of target/ share.
 * May use: base/, target/target.h.
 * Must not: be included from other rooms. */
#pragma once

#include "base/buf.h"
#include "target/target.h"

enum { PAGE_BYTES = 4096, CACHED_PAGES = 512 };

struct mapping_list {
    struct target_mapping *all;
    size_t count, capacity;
    char *text; /* the paths point into it */
};

/* Memory that was read while the target stood still. Tags and pages lie apart: a page that is looked at before it is
 * first written to would be mapped twice, and the second time every other CPU has to forget the first. */
struct page_cache {
    struct page_tag {
        uint64_t address, epoch; /* good while `epoch` is the target's */
    } tags[CACHED_PAGES];
    uint8_t (*pages)[PAGE_BYTES]; /* as many */
};

struct core_file; /* target/core.h */
struct tracer;    /* target/stop.c */

struct target {
    pid_t pid;
    /* /proc/PID, open: it goes on naming this very process, so that a pid that is used again is not taken
     * for it. -1 for a core file. */
    int proc_fd;
    int memory_fd;   /* /proc/PID/mem; -1 when it cannot be had */
    char member[24]; /* "", or "task/TID/" when the first thread has ended and others live on */
    uint64_t exe_device, exe_inode;
    struct core_file *core;
    struct target_info info;
    bool info_read;
    bool ended;  /* only its mappings are known (ended.c) … */
    int root_fd; /* … and the root it shared with its parent, or -1 */
    struct mapping_list mappings;
    struct page_cache *cache; /* NULL until it stands still, and without memory */
    uint64_t epoch;
    struct tracer *tracer; /* while stopped */
};

/* ---- /proc (proc.c) ---- */

/* Opens /proc/PID. A descriptor that the caller closes, or -ESRCH, -EACCES, … */
int proc_open(pid_t pid);
/* Reads a file below it whole. 0 or negative errno; -ESRCH once the process is gone. */
int proc_read(int proc_fd, const char *name, struct buf *ret);
/* Reads its first size - 1 bytes and ends them with NUL. Returns how many, or negative errno. */
int proc_read_text(int proc_fd, const char *name, char *ret, size_t size);
/* The numeric names in a directory, sorted. Caller frees *ret. */
int proc_numbers(int dir_fd, const char *name, pid_t **ret, size_t *ret_count);
/* The text after "\nNAME:" and its spaces, up to the end of `status`; "" when it is not there. */
const char *proc_field(const char *status, const char *name);
/* The last id in the line NSpid, the innermost namespace's; `id` when there is none. The line follows that of the
 * groups, of which a process may have 65536: this needs the file whole. */
pid_t proc_inner_id(const char *status, pid_t id);

/* The name in a "comm" file, fit to be printed; *ret stays what it is when there is none. */
void proc_read_comm(int proc_fd, const char *name, char *ret, size_t size);

struct proc_stat {
    char state;
    unsigned threads;
    pid_t parent;
    uint64_t flags;
};
int proc_read_stat(int proc_fd, const char *name, struct proc_stat *ret);

/* ---- what a pid is (state.c) ---- */

/* Fills *err with why `pid`, which exists, may not be read, and what would help. Returns -EPERM. */
int refuse_forbidden(pid_t pid, struct err *err);
/* The process whose thread `pid` is: itself, or another. */
pid_t thread_group_of(int proc_fd, pid_t pid);

/* What decides the sentence of refuse_forbidden(). */
struct forbidden {
    pid_t pid;
    const char *comm, *owner, *self; /* names of the process, of its user, of scry's user */
    bool hidden;                     /* /proc does not show it: hidepid */
    bool same_user, root;            /* scry's user is the process's; is root */
    bool capable;                    /* scry has CAP_SYS_PTRACE in its own user namespace … */
    bool searches;                   /* … and may open the files of others, */
    bool confined;                   /* … which is not the machine's first */
    int yama;                        /* ptrace_scope, 0 when there is none */
};
int forbidden_sentence(const struct forbidden *f, struct err *err);
/* *ret is filled unless it is gone. */
enum target_state target_state_at(int proc_fd, pid_t pid, struct proc_stat *ret);
int refuse_state(enum target_state state, int proc_fd, pid_t pid, struct err *err);

/* ---- mappings (maps.c) ---- */

/* Parses the text of /proc/PID/maps. Takes a copy. 0 or -ENOMEM; lines that are not understood are
 * skipped. The result is sorted by address. */
int maps_parse(const char *text, size_t size, struct mapping_list *ret);
void maps_free(struct mapping_list *list);

/* ---- files (files.c) ---- */

/* Opens a regular file below a directory, read-only; symbolic links do not lead out of it. Nothing that
 * is not a regular file is ever opened for reading. -ENOENT, -EACCES, … */
int open_beneath(int root_fd, const char *path);
/* The root directory of the target: a descriptor that the caller closes, or negative errno. */
int open_root(struct target *t);
/* Copies target memory to a memory file. */
int open_memory_as_file(struct target *t, const struct target_mapping *m);

/* ---- info (info.c) ---- */

int read_info(int proc_fd, pid_t pid, struct target_info *ret);
/* The container that the text of /proc/PID/cgroup names, or "". */
void container_of_cgroup(const char *cgroup, char *ret, size_t size);

/* ---- control groups (cgroup.c) ---- */

/* Where the text of a mountinfo file says that the file system of version 2 is mounted. False when nowhere, or when it
 * does not fit. */
bool cgroup_mount(const char *mounts, char *ret, size_t size);
/* What a terminal would obey becomes '?'. */
void make_printable(char *text, size_t size);

/* ---- a live process (live.c) ---- */

int live_read(struct target *t, uint64_t address, void *dst, size_t size);
int live_refresh(struct target *t, bool *ret_changed, struct err *err);
int live_open_mapping(struct target *t, const struct target_mapping *m, struct err *err);
int live_open_path(struct target *t, const char *path);
int live_registers(struct target *t, pid_t tid, struct target_registers *ret, struct err *err);

/* ---- registers ---- */

struct user_regs_struct;
void registers_from_user(const struct user_regs_struct *r, struct target_registers *ret);
