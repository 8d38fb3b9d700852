/* From raw frames to a stack of the profile: straighten the streams, merge them, name every frame.
 * Private to session/.
 * May use: lang/, session/process.h, model/.
 * Must not: know sources or records; the same code serves samples, dumps and cores. */
#pragma once

#include "session/process.h"

/* What can be relied on of a stack that was walked while the process mapped code. */
struct assemble_trust {
    u32 certain; /* so many native frames, from the leaf on; UINT32_MAX = all */
    bool lost;   /* the one after them was in code that is no longer known */
};

struct assemble_input {
    struct session_process *process;         /* NULL: unknown process or kernel thread */
    struct session_process *elder;           /* that it was forked from; NULL: none is known */
    const struct process_snapshot *snapshot; /* that was in force when the walk ran */
    const struct walk_stack *walk;           /* NULL when user space was not walked */
    const struct assemble_trust *trust;      /* NULL = all of it */
    uint64_t leaf_sp;
    const uint64_t *kernel; /* kernel addresses, leaf first */
    size_t n_kernel;
    bool kernel_thread;
    const char *missing; /* stands for the user's frames: why they are missing; NULL = they are not */
};

struct assembled {
    stack_id stack;
    uint32_t frames, unnamed, approximate;
    uint8_t end; /* enum walk_end; WALK_END_ROOT for kernel threads */
    bool cut;    /* frames in the middle were left out */
};

struct assembler;

int assembler_new(struct session_files *files, struct assembler **ret, struct err *err);
void assembler_free(struct assembler *a);
DEFINE_CLEANUP(struct assembler, assembler_free)

/* Opens the kernel's symbols now rather than at its first frame, and notes in the profile why they are not to be had. */
void assembler_prepare_kernel(struct assembler *a);
/* Reads them, if they are to be had: some 50 ms. */
void assembler_read_kernel(struct assembler *a);

/* Equal input gives the cached answer. */
struct assembled assemble(struct assembler *a, const struct assemble_input *in);

/* Counts a stack that became a sample in its profile's quality block. */
void assembled_count(struct session_files *files, const struct assembled *a);
