/* What the files of target/ share.
 * May use: base/, target/target.h.
 * Must not: be included from other rooms. */
#pragma once

#include "base/buf.h"
#include "target/target.h"

enum { PAGE_BYTES = 4096, CACHED_PAGES = 1024 };

struct mapping_list {
    struct target_mapping *all;
    size_t count, capacity;
    char *text; /* the paths point into it */
};

struct cached_page {
    uint64_t address;
    bool valid;
    uint8_t bytes[PAGE_BYTES];
};

struct core_file; /* target/core.c */

struct target {
    pid_t pid;
    int pidfd, memory_fd; /* -1 when not open */
    uint64_t start_time;  /* of the process, in clock ticks: guards against a pid reused */
    struct core_file *core;
    struct target_info info;
    bool info_read;
    struct mapping_list mappings;
    uint64_t exe_identity;
    struct cached_page *cache; /* while stopped; CACHED_PAGES of them */
    struct stopped_thread {
        pid_t tid;
        int signal; /* that arrived while we stopped it; delivered on resume */
    } * stopped;
    size_t n_stopped, cap_stopped;
};

/* Parses the text of /proc/PID/maps. Takes a copy. 0, -ENOMEM or -EBADMSG; lines that are not understood
 * are skipped. The result is sorted by address. */
int maps_parse(const char *text, size_t size, struct mapping_list *ret);
void maps_free(struct mapping_list *list);

/* Reads /proc/PID/NAME whole. 0 or negative errno. */
int proc_read(pid_t pid, const char *name, struct buf *ret);

struct user_regs_struct;
void target_registers_from_user(const struct user_regs_struct *r, struct target_registers *ret);

/* The same calls for a core file. */
int core_read(struct target *t, uint64_t address, void *dst, size_t size);
int core_threads(struct target *t, pid_t **ret, size_t *ret_count);
int core_registers(struct target *t, pid_t tid, struct target_registers *ret);
int core_open_mapping(struct target *t, const struct target_mapping *m, struct err *err);
void core_close(struct core_file *c);
