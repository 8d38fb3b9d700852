/* A process seen from outside: live, or as a core file. Its mappings, threads, memory, files.
 * May use: base/.
 * Must not: know a runtime or a profile; write to the target. Everything read is hostile.
 *
 * Paths are as the target sees them (its mount namespace); files are opened through
 * /proc/PID/map_files or /proc/PID/root, so that a file replaced on disk is not taken for the one
 * that runs. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct target_mapping {
    uint64_t start, end, offset; /* [start, end) in the target; offset in the file */
    uint64_t device, inode;      /* as stat() says them; 0 when anonymous */
    uint32_t protection;         /* PROT_READ | … */
    bool assumed;                /* … which a core does not say: it left the range out, and it may be code */
    bool deleted;                /* the path no longer names this file */
    const char *path;            /* "" when anonymous; "[vdso]", "[stack]", … as the kernel says */
};

/* What kind of thing a pid is; each but USER is refused with a sentence of its own. */
enum target_state {
    TARGET_USER,
    TARGET_GONE,
    TARGET_ZOMBIE,
    TARGET_KERNEL_THREAD,
    TARGET_32BIT,
    TARGET_FORBIDDEN, /* exists, but we may not read it */
    TARGET_THREAD,    /* the id of a thread that is not its process's first */
};

struct target_info {
    pid_t pid;
    pid_t ns_pid; /* as the target calls itself */
    pid_t parent;
    uid_t uid; /* the effective one */
    char comm[64];
    char *command_line;  /* owned; arguments joined by spaces, "" for kernel threads */
    char container[128]; /* id (the first 12 of its 64 digits) or name of its container, or "" */
    char cgroup[256];    /* cgroup v2 path */
};

/* Reads what /proc says of any process, also one that may not be opened. 0 or negative errno. */
int target_read_info(pid_t pid, struct target_info *ret);
void target_info_clear(struct target_info *info);
/* -ENOTSUP when /proc is not there, or is that of another PID namespace than ours. */
int target_check_proc(struct err *err);
/* Every process id, sorted; caller frees. */
int target_list(pid_t **ret, size_t *ret_count);
/* The processes that run below `pid`: its children, theirs, and so on; each after its parent. Caller frees. */
int target_descendants(pid_t pid, pid_t **ret, size_t *ret_count);

/* Opens a control group of version 2: a directory of its file system, or a path within that, with or without the first
 * "/". A descriptor the caller closes, or negative errno with a sentence. */
int target_open_cgroup(const char *path, struct err *err);
/* The same of a path within that file system, without a sentence. */
int target_open_cgroup_within(const char *path);

struct target_group_state {
    bool frozen;    /* nothing in it runs until it is thawed */
    bool populated; /* there are processes in it or below */
};
struct target_group_state target_group_state(int group_fd);

/* Why a process that is there does not run, nor will by itself. */
enum target_standstill { TARGET_NOT_STILL, TARGET_STOPPED, TARGET_TRACED, TARGET_FROZEN };
enum target_standstill target_standstill(pid_t pid);

struct target; /* opaque: live process or core file */

/* Says what `pid` is, without opening it. */
enum target_state target_state_of(pid_t pid);

/* Opens a live process. On failure the sentence names the state (gone, zombie, kernel thread, thread of
 * another process, 32-bit, not permitted and why) and what to do. -ESRCH gone or zombie, -EINVAL kernel
 * thread or thread, -ENOTSUP 32-bit, -EPERM not permitted. What is opened stays this process even if its
 * number is used again; it may become another program (see target_refresh_mappings()). */
int target_open(pid_t pid, struct target **ret, struct err *err) _must_check_;

/* Opens a core file (ELF ET_CORE, x86-64; also compressed by gzip or zstd). Memory that the kernel left out
 * of the core because it is file-backed is read from the files it names, under `sysroot` ("" = /), unless
 * they are found to differ from those that ran. */
int target_open_core(const char *path, const char *sysroot, struct target **ret, struct err *err) _must_check_;

/* A process that has ended: its code mappings were told by somebody else, its memory is gone (target_read()
 * gives -ESRCH), its files are opened by name if the name still means the same file: in the root of `parent`, whose container it shares, and in
 * ours. `parent` may be NULL. Takes copies. */
int target_open_ended(pid_t pid, const char *comm, const struct target_mapping *mappings, size_t count,
                      struct target *parent, struct target **ret, struct err *err) _must_check_;

void target_close(struct target *t);
DEFINE_CLEANUP(struct target, target_close)

pid_t target_pid(const struct target *t);
/* Read once, then cached until the process is seen to have become another program. Control characters in
 * the texts are '?'. */
const struct target_info *target_get_info(struct target *t);

/* Reads exactly `size` bytes. 0 or negative errno (-EFAULT unmapped, -ESRCH gone, -EPERM). Between
 * target_stop() and target_resume() pages are read once and kept. */
int target_read(struct target *t, uint64_t address, void *dst, size_t size);

/* Re-reads the list of mappings; `*ret_changed` (may be NULL) tells whether an executable mapping or the
 * program itself differs from before. The pointers of the old list die. */
int target_refresh_mappings(struct target *t, bool *ret_changed, struct err *err);
/* Sorted by address. Read at open; see target_refresh_mappings(). */
const struct target_mapping *target_mappings(const struct target *t, size_t *ret_count);
const struct target_mapping *target_find_mapping(const struct target *t, uint64_t address);

/* Opens, read-only, the very file that backs a mapping. For "[vdso]" a memfd with its bytes.
 * Returns a descriptor the caller closes, or negative errno: -ENOENT when it cannot be had. */
int target_open_mapping(struct target *t, const struct target_mapping *m, struct err *err);

/* Opens a regular file by its path inside the target's root (its mount namespace, or a core's sysroot),
 * read-only; links do not lead out of it. A descriptor the caller closes, or negative errno. */
int target_open_path(struct target *t, const char *path);
/* That root, for what is asked for when the target may be gone. A descriptor the caller closes, or negative errno. */
int target_open_root(struct target *t);
/* The same as target_open_path() in such a root; a path is from there on. */
int target_open_in_root(int root, const char *path);
/* Whether a file in that root whose name says only the process's id is the process's own. Without a sysroot a core's
 * root is this machine's, where another process may have, or have had, that id. */
bool target_ids_mean_it(const struct target *t);
/* How much of a core file is not there: it was cut short. 0 for a live process. */
uint64_t target_missing_bytes(const struct target *t);

/* Thread ids, sorted. Caller frees *ret. */
int target_threads(struct target *t, pid_t **ret, size_t *ret_count);
/* The thread's comm; "" when gone. */
void target_thread_name(struct target *t, pid_t tid, char *ret, size_t size);
/* The thread's id as the target itself knows it: in its own namespace of process ids. */
pid_t target_thread_inner_id(struct target *t, pid_t tid);
/* Scheduler state letter ('R', 'S', 'D', …), 0 when gone. */
char target_thread_state(struct target *t, pid_t tid);

/* Stops every thread (ptrace SEIZE + INTERRUPT; new threads too), or fails with nothing stopped.
 * A core file is always stopped. Kill-safe: the kernel resumes them if scry dies; signals that arrive
 * meanwhile are delivered afterwards, and a process that was stopped by its user stays so. A thread that
 * sleeps uninterruptibly in the kernel (a vfork, a dead disk) cannot be stopped; it is left there, and
 * counts as stopped because it runs no code either. Until target_resume(), the caller must not wait for
 * the target in another thread. -ESRCH ended, -EPERM, -EBUSY another debugger has it, -ETIMEDOUT. */
int target_stop(struct target *t, struct err *err);
void target_resume(struct target *t);

/* Registers of a stopped thread in DWARF numbering (see unwind/walk.h: 17 values, then fs base). */
struct target_registers {
    uint64_t value[17];
    uint64_t tls_base;
    bool in_syscall;
    bool partial; /* only the instruction and stack pointers are known: it could not be stopped */
};
/* 0; -ESRCH when the thread ended or did not exist at target_stop(), -ENOTSUP when it runs 32-bit code. */
int target_thread_registers(struct target *t, pid_t tid, struct target_registers *ret, struct err *err);
