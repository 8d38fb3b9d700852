/* A whole Python process as a hostile one may be: finding the interpreter, every thread's walk, all names. The
 * input is what was changed in a recorded core (tests/core): which core, then 13 bytes per change, {how, place,
 * value}. Places count the words that are not 0; a value may be another such word, so that pointers lead into circles. */
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "bytes_file.h"
#include "lang/lang.h"

#include "../support/core_thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One recorded core, unpacked. */
static struct {
    int number; /* plus 1 */
    uint64_t *words;
    size_t size;
    uint32_t *places;
    size_t n_places;
} base;

static void load(int number) {
    glob_t found;
    _cleanup_(buf_free) struct buf packed = {0};
    if (base.number == number + 1)
        return;
    if (glob(RECORDED "/*.core.zst", 0, NULL, &found) != 0 ||
        file_read(found.gl_pathv[(size_t)number % found.gl_pathc], 1 << 20, &packed, NULL) < 0)
        abort();
    globfree(&found);
    free(base.words);
    free(base.places);
    base.size = ZSTD_getFrameContentSize(packed.data, packed.len);
    base.words = mem_alloc(base.size);
    base.places = mem_alloc(base.size / 8 * sizeof(*base.places));
    if (!base.words || !base.places || ZSTD_decompress(base.words, base.size, packed.data, packed.len) != base.size)
        abort();
    base.n_places = 0;
    for (size_t i = 0; i < base.size / 8; i++)
        if (base.words[i])
            base.places[base.n_places++] = (uint32_t)i;
    base.number = number + 1;
}

/* ---- what a dump does ---- */

static void walk_thread(struct lang_process *lp, const struct lang *lang, struct profile *p, struct target *t,
                        pid_t tid) {
    static struct walk_stack stack;
    static struct lang_merged merged[WALK_CAPACITY];
    if (!core_thread_walk(lp, lang, p, t, tid, &stack))
        return;
    char name[64] = "";
    if (lang->thread_name(lp, (u32)tid, name, sizeof(name)) == 0 && !name[0])
        abort();
    struct lang_streams streams = {.runtime = stack.frames, .n_runtime = stack.n_frames};
    lang->merge(lp, &streams, merged);
}

static void use(struct target *t) {
    struct lang_process *lp;
    enum lang_id id;
    struct err err = {0};
    pid_t *tids = NULL;
    size_t n = 0;
    struct profile *p = profile_new();
    if (p && lang_attach(t, &id, &lp, &err) == 0) {
        if (target_threads(t, &tids, &n) == 0)
            for (size_t i = 0; i < n; i++)
                walk_thread(lp, langs[id], p, t, tids[i]);
        langs[id]->detach(lp);
    }
    free(tids);
    profile_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    struct target *t = NULL;
    if (size < 1)
        return 0;
    load(data[0]);
    _cleanup_(closep) int fd = bytes_file(base.words, base.size);
    if (fd < 0)
        return 0;
    for (const uint8_t *p = data + 1; size - (size_t)(p - data) >= 13; p += 13) {
        uint32_t place;
        uint64_t value;
        memcpy(&place, p + 1, 4);
        memcpy(&value, p + 5, 8);
        if (p[0] & 1)
            value = base.words[base.places[value % base.n_places]];
        if (pwrite(fd, &value, 8, (off_t)base.places[place % base.n_places] * 8) != 8)
            return 0;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (target_open_core(path, "/proc/self/fdinfo", &t, NULL) < 0)
        return 0;
    use(t);
    target_close(t);
    return 0;
}
