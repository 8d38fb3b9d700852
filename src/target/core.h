/* A core file: segments of memory, threads, and the files that were mapped.
 * May use: base/, target/internal.h.
 * Must not: be included from other rooms. */
#pragma once

#include "target/internal.h"

enum { MAX_CORE_SEGMENTS = 1 << 20, MAX_CORE_NOTES = 256 << 20 };

struct core_segment {
    uint64_t start, end;        /* in the target */
    uint64_t offset, file_size; /* in the core; less than end - start when the rest was left out */
    uint32_t protection;
};

struct core_thread {
    pid_t tid;
    char state; /* 0 when unknown */
    struct target_registers registers;
};

/* A range that a file was mapped to, for the memory that the core leaves out. */
struct core_backing {
    uint64_t start, end, offset;
    const char *path; /* points into core_file.names */
    uint32_t file;    /* index into core_file.opened */
};

/* A program may map thousands of files, more than may be open at once: they are opened anew when they are needed. */
struct core_opened {
    const char *path;
    int fd;    /* negative while it is not open */
    int error; /* 0 when it can be had, else negative errno: -ESTALE when it is not the file that ran, -ENOENT, … */
    uint64_t device, inode;
};

struct core_range { /* in the core */
    uint64_t offset, size;
};

enum { MAX_CORE_NOTE_SEGMENTS = 8, MAX_CORE_OPEN = 32 };

struct core_file {
    int fd, root_fd; /* the core, unpacked; the sysroot; negative when not open */
    bool root_named; /* … and whether that is one, not this machine's root for want of another */
    struct core_range notes[MAX_CORE_NOTE_SEGMENTS];
    size_t n_notes;
    struct core_segment *segments; /* sorted, not overlapping */
    size_t n_segments, cap_segments;
    struct core_thread *threads; /* sorted by tid */
    size_t n_threads, cap_threads;
    struct core_backing *backings; /* sorted, not overlapping */
    size_t n_backings, cap_backings;
    struct core_opened *opened; /* each file once */
    size_t n_opened, cap_opened;
    uint32_t open[MAX_CORE_OPEN]; /* those that are open, as indices + 1; 0 = none … */
    uint32_t next_open;           /* … and which place is the next one's */
    char *names;                  /* of the files */
    uint64_t missing;             /* bytes that its segments have and the file has not: it was cut short */
    uint64_t vdso, random;        /* AT_SYSINFO_EHDR; AT_RANDOM, which lies in the stack; 0 when unknown */
};

void core_close(struct core_file *c);
int core_read(struct core_file *c, uint64_t address, void *dst, size_t size);
int core_threads(const struct core_file *c, pid_t **ret, size_t *ret_count);
char core_thread_state(const struct core_file *c, pid_t tid);
int core_registers(const struct core_file *c, pid_t tid, struct target_registers *ret, struct err *err);
int core_open_mapping(struct core_file *c, const struct target_mapping *m, struct err *err);
int core_open_path(struct core_file *c, const char *path);

/* ---- core_parse.c ---- */

/* Parses program headers: fills segments and notes. 0 or -ENOMEM. */
int core_parse_headers(struct core_file *c, const void *headers, size_t size);
/* Parses the content of one PT_NOTE: fills threads, backings, names, vdso, random and *info. 0 or -ENOMEM. */
int core_parse_notes(struct core_file *c, const void *notes, size_t size, struct target_info *info);
/* Sorts what was parsed and drops what overlaps. */
void core_parse_finish(struct core_file *c);

/* ---- core_unpack.c ---- */

/* When *fd holds gzip or zstd data, replaces it by a memory file with what it unpacks to. */
int core_unpack(int *fd, const char *path, struct err *err);
