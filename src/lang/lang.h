/* The contract of a runtime: recognise it in a process, walk its frames, merge them with the native
 * stack, name them. One folder per runtime; lang/langs.def lists them, and everything else (frame
 * kinds, BPF walks, CLI names, help, tests) comes out of that table.
 * May use: base/, model/, target/, symbol/, unwind/.
 * Must not: know where samples come from or how they are shown.
 *
 * A lang's walk lives in lang/NAME/NAME_walk.h over unwind/walk.h and defines
 *     static __always_inline void NAME_walk(struct walk *w, const void *config);
 * which opens its own stream, emits frames of kind RAW_LANG(id, 0..15) leaf first, and finishes it. */
#pragma once

#include "base/err.h"
#include "lang/lang_id.h"
#include "model/profile.h"
#include "symbol/symbol.h"
#include "target/target.h"
#include "unwind/table.h"
#include "unwind/walk.h"

/* What one runtime knows of one process; made by attach(), owned by the caller. */
struct lang_process;

/* A frame of the merged stack, leaf first. */
struct lang_merged {
    u32 index;     /* into the native stream (lang == 0) or the runtime's own */
    u8 lang;       /* 0 = native */
    bool internal; /* the runtime's machinery, folded by default */
    bool root;     /* this is the last entry, and the stack's true end: see switches_stacks */
};

/* Both streams as they were walked, leaf first, rings already straightened; a cut is marked by an
 * entry whose kind is 0 and whose word[1] is the number of frames left out. */
struct lang_streams {
    const struct raw_frame *native;
    u32 n_native;
    struct raw_frame *runtime; /* merge() may bring them into another order */
    u32 n_runtime;
    bool whole;            /* the native stack reaches the thread's root */
    u64 leaf_sp;           /* stack pointer at the leaf: the first native frame covers [leaf_sp, its CFA) */
    const bool *switching; /* of each native frame, whether its file switches stacks; NULL: none does */
};

struct lang {
    const char *name;  /* "python": also the kind of its frames in a profile */
    const char *title; /* "Python" */

    /* Recognises the runtime in a process. 0 and *ret; -ENOENT: not there; other: it is there but
     * cannot be read, and err says why in a sentence for the quality notes. NULL for native. */
    int (*attach)(struct target *t, struct lang_process **ret, struct err *err);
    void (*detach)(struct lang_process *lp);

    /* Version and flavour for people: "3.12.1", "3.13.2 free-threaded". */
    const char *(*version)(const struct lang_process *lp);

    /* What NAME_walk() needs, at most LANG_CONFIG_BYTES. Returns its size. */
    size_t (*config)(const struct lang_process *lp, void *ret);

    /* NAME_walk() compiled for user space. */
    void (*walk)(struct walk *w, const void *config);

    /* The native frames were walked once more, from a copy of the stack, when the runtime's stream, the last one, had
     * been walked: adds to it what only the native frames tell. May be NULL. */
    void (*rewalked)(struct walk *w, const void *config);

    /* Code ranges [start, end) of the target whose frames are this runtime's machinery (its eval
     * loop, call glue); used to mark native frames internal. May be NULL. */
    bool (*is_internal)(const struct lang_process *lp, u64 address, const char *symbol);

    /* Whether an instruction of native code executes the runtime's functions: above its frame there are the runtime's.
     * May be NULL. */
    bool (*is_loop)(const struct lang_process *lp, u64 code);

    /* Merges the two streams by address. Writes at most n_native + n_runtime entries to `ret`,
     * leaf first, and returns how many. */
    u32 (*merge)(const struct lang_process *lp, const struct lang_streams *in, struct lang_merged *ret);

    /* Whether the code of a library, by its path, moves pieces of the C stack away and back, so that several flows of
     * the runtime take turns on it (greenlet). Rootward of where such a flow begins the stack holds what another one
     * left there: merge() ends it, and says so in `root`. May be NULL. */
    bool (*switches_stacks)(const char *path);

    /* Names one raw frame of this runtime: interned in `p`, cached. Reads the target's memory on first
     * sight. Returns 0 for entries that are not frames (boundaries, marks). */
    frame_id (*name_frame)(struct lang_process *lp, struct profile *p, const struct raw_frame *f);

    /* What the program itself calls a thread, cut to whole letters. 0; -ENOENT: it has no name, none yet, or no
     * other than it was told last: worth asking again when the thread is seen again, the runtime bounds what that costs.
     * *ret is then left. May be NULL. */
    int (*thread_name)(struct lang_process *lp, u32 tid, char *ret, size_t size);
};

/* Indexed by enum lang_id. Entry 0 (native) has only its names. */
extern const struct lang *const langs[LANG_COUNT];

/* Looks for a runtime in a process. 0: *ret_lang and *ret, which the caller gives back to detach(). -ENOENT:
 * there is none. Other: *ret_lang is there, but cannot be read, and err says why. */
int lang_attach(struct target *t, enum lang_id *ret_lang, struct lang_process **ret, struct err *err);

/* Whether any runtime knows the library as one that switches stacks. */
bool lang_switches_stacks(const char *path);
