/* The toy runtime: what the smallest lang has to say. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lang/lang.h"
#include "lang/toy/toy_walk.h"

#define TOY_FRAMES_AT 0x70000000ull

struct lang_process {
    u64 frames_at;
};

static int attach(struct target *t, struct lang_process **ret, struct err *err) {
    char magic[8];
    if (target_read(t, TOY_FRAMES_AT, magic, sizeof(magic)) < 0 || memcmp(magic, "TOYVM001", 8) != 0)
        return -ENOENT;
    struct lang_process *lp = mem_zalloc(1, sizeof(*lp));
    if (!lp)
        return err_nomem(err);
    lp->frames_at = TOY_FRAMES_AT;
    *ret = lp;
    return 0;
}

static void detach(struct lang_process *lp) {
    free(lp);
}

static const char *version(const struct lang_process *lp) {
    return "1";
}

static size_t config(const struct lang_process *lp, void *ret) {
    struct toy_config c = {.frames_at = lp->frames_at};
    memcpy(ret, &c, sizeof(c));
    return sizeof(c);
}

static void walk(struct walk *w, const void *c) {
    toy_walk(w, c);
}

static u32 merge(const struct lang_process *lp, const struct lang_streams *in, struct lang_merged *ret) {
    u32 n = 0;
    for (u32 i = 0; i < in->n_runtime; i++)
        ret[n++] = (struct lang_merged){.index = i, .lang = LANG_toy};
    for (u32 i = 0; i < in->n_native; i++)
        ret[n++] = (struct lang_merged){.index = i};
    return n;
}

static frame_id name_frame(struct lang_process *lp, struct profile *p, const struct raw_frame *f) {
    char text[32];
    snprintf(text, sizeof(text), "toy_function_%llu", (unsigned long long)raw_address(f));
    function_id function = profile_function(p, &(struct profile_function){.name = profile_string(p, text)});
    return profile_frame(p, &(struct profile_frame){.function = function, .kind = profile_string(p, "toy")});
}

const struct lang lang_toy = {
    .name = "toy",
    .title = "Toy",
    .attach = attach,
    .detach = detach,
    .version = version,
    .config = config,
    .walk = walk,
    .merge = merge,
    .name_frame = name_frame,
};
