#include "session/assemble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const walk_end_sentence[WALK_END_COUNT] = {
#define WALK_END(name, whole, sentence) [WALK_END_##name] = sentence,
#include "unwind/walk_ends.def"
#undef WALK_END
};

enum { MAX_CACHED_STACKS = 1 << 16 }; /* 3 MB with their index; processes that ended have theirs among them */

struct cached_stack {
    uint64_t hash; /* of everything the stack is made from */
    struct assembled result;
};

struct assembler {
    struct session_files *files;
    struct symbol_kernel *kernel; /* NULL: not yet needed, or not to be had */
    bool kernel_tried;
    string_id kind_kernel;
    mapping_id kernel_mapping;
    struct u64_map kernel_frames; /* address → frame_id */
    struct hash_index index;
    struct cached_stack *cache;
    size_t n_cache, cap_cache;
    /* Working memory of one sample; allocated once. */
    struct raw_frame *streams[2];
    bool *switching; /* of streams[0] */
    struct lang_merged *merged;
    frame_id *frames; /* root last */
    size_t n_frames, cap_frames;
    bool cut; /* frames in the middle were left out */
};

int assembler_new(struct session_files *files, struct assembler **ret, struct err *err) {
    _cleanup_(assembler_freep) struct assembler *a = mem_zalloc(1, sizeof(*a));
    if (!a)
        return err_nomem(err);
    a->files = files;
    a->streams[0] = mem_alloc((WALK_CAPACITY + 1) * sizeof(struct raw_frame));
    a->streams[1] = mem_alloc((WALK_CAPACITY + 1) * sizeof(struct raw_frame));
    a->merged = mem_alloc(2 * (WALK_CAPACITY + 1) * sizeof(*a->merged));
    a->switching = mem_alloc(WALK_CAPACITY + 1);
    if (!a->streams[0] || !a->streams[1] || !a->merged || !a->switching)
        return err_nomem(err);
    a->kind_kernel = profile_string(files->profile, "kernel");
    a->kernel_mapping =
        profile_mapping(files->profile, &(struct profile_mapping){.file = profile_string(files->profile, "[kernel]"),
                                                                  .start = 1ull << 63,
                                                                  .limit = UINT64_MAX});
    *ret = TAKE_PTR(a);
    return 0;
}

void assembler_free(struct assembler *a) {
    if (!a)
        return;
    symbol_kernel_close(a->kernel);
    u64_map_free(&a->kernel_frames);
    hash_index_free(&a->index);
    free(a->cache);
    free(a->streams[0]);
    free(a->streams[1]);
    free(a->merged);
    free(a->switching);
    free(a->frames);
    free(a);
}

static void push(struct assembler *a, frame_id frame) {
    if (mem_grow((void **)&a->frames, &a->cap_frames, a->n_frames + 1, sizeof(*a->frames)) < 0) {
        a->files->profile->profile_failed = true;
        return;
    }
    a->frames[a->n_frames++] = frame;
}

static void push_mark(struct assembler *a, const char *text) {
    push(a, session_frame_of_text(a->files, text, FRAME_MARK));
}

/* ---- kernel frames ---- */

void assembler_prepare_kernel(struct assembler *a) {
    struct err why = {0};
    if (!a->kernel_tried && symbol_kernel_open(&a->kernel, &why) < 0)
        profile_note(a->files->profile, "Kernel frames have no names: %s", why.text);
    a->kernel_tried = true;
}

void assembler_read_kernel(struct assembler *a) {
    assembler_prepare_kernel(a);
    if (a->kernel)
        symbol_kernel_read(a->kernel);
}

static const char *kernel_name(struct assembler *a, uint64_t address, const char **ret_module) {
    assembler_prepare_kernel(a);
    return a->kernel ? symbol_kernel_lookup(a->kernel, address, ret_module) : "";
}

static frame_id kernel_frame(struct assembler *a, uint64_t address, bool exact) {
    uint64_t *known = u64_map_get(&a->kernel_frames, address);
    if (known)
        return (frame_id)*known;
    struct profile *p = a->files->profile;
    const char *module = "";
    const char *name = kernel_name(a, exact ? address : address - 1, &module);
    char text[256];
    if (module[0] && name[0])
        snprintf(text, sizeof(text), "%s [%s]", name, module);
    else
        snprintf(text, sizeof(text), "%s", name[0] ? name : "[kernel]");
    struct profile_function function = {.name = profile_string(p, text)};
    frame_id id = profile_frame(p, &(struct profile_frame){.function = profile_function(p, &function),
                                                           .kind = a->kind_kernel,
                                                           .flags = name[0] ? 0 : FRAME_UNNAMED,
                                                           .mapping = a->kernel_mapping,
                                                           .address = address});
    if (u64_map_put(&a->kernel_frames, address, id) < 0)
        p->profile_failed = true;
    return id;
}

/* ---- native frames ---- */

static void open_perf_map(struct session_process *p) {
    int rc = symbol_perf_map_open(p->target, &p->files->perf_maps, &p->perf_map);
    if (rc == -ESTALE)
        profile_note(p->files->profile,
                     "Generated code has no names: /tmp/perf-%d.map may be of another process with that number. "
                     "--sysroot / takes it for that of the core",
                     (int)target_get_info(p->target)->ns_pid);
    p->perf_map_tried = true;
}

static const char *perf_map_name(struct session_process *p, uint64_t address) {
    if (!p->perf_map_tried)
        open_perf_map(p);
    return p->perf_map ? symbol_perf_map_lookup(p->perf_map, address) : "";
}

static frame_id generated_frame(struct assembler *a, const struct assemble_input *in, uint64_t code,
                                const struct process_code *c) {
    const char *name = perf_map_name(in->process, code);
    if (name[0])
        return session_frame_of_text(a->files, name, 0);
    const char *text = !c          ? "[unmapped address]"
                       : c->absent ? profile_str(a->files->profile, c->absent)
                                   : "[generated code]";
    return session_frame_of_text(a->files, text, FRAME_UNNAMED);
}

/* Marks a frame approximate or internal without disturbing the cached one. */
static frame_id with_flags(struct assembler *a, frame_id id, uint32_t flags) {
    struct profile_frame f = a->files->profile->frames[id];
    if ((f.flags & flags) == flags)
        return id;
    f.flags |= flags;
    return profile_frame(a->files->profile, &f);
}

static bool is_internal(const struct assemble_input *in, frame_id id, uint64_t address) {
    struct session_process *p = in->process;
    if (!p->runtime || !langs[p->lang]->is_internal)
        return false;
    const struct profile *profile = p->files->profile;
    const char *name = profile_str(profile, profile->functions[profile->frames[id].function].name);
    return langs[p->lang]->is_internal(p->runtime, address, name);
}

static void push_cut(struct assembler *a, const struct raw_frame *f) {
    char text[64];
    snprintf(text, sizeof(text), "[%llu frames cut]", (unsigned long long)f->word[1]);
    a->cut = true;
    push_mark(a, text);
}

static void push_native(struct assembler *a, const struct assemble_input *in, const struct raw_frame *f,
                        bool internal) {
    if (raw_kind(f) == 0) {
        push_cut(a, f);
        return;
    }
    uint64_t address = raw_address(f), code = raw_code(f);
    uint32_t flags = f->word[1] & RAW_APPROXIMATE ? FRAME_APPROXIMATE : 0;
    const struct process_code *c = session_process_find(in->snapshot, code);
    if (!c || !c->file) {
        frame_id id = generated_frame(a, in, code, c);
        push(a, with_flags(a, id, flags | (internal || is_internal(in, id, address) ? FRAME_INTERNAL : 0)));
        return;
    }
    struct name_ref ref = session_file_name(a->files, c->file, address - c->bias, code == address);
    for (uint32_t i = 0; i < ref.count; i++) {
        frame_id id = c->file->frames[ref.first + i];
        uint32_t more = flags;
        if (internal || is_internal(in, id, address))
            more |= FRAME_INTERNAL;
        push(a, with_flags(a, id, more));
    }
}

/* ---- streams ---- */

/* Copies a stream leaf first, unrolling its ring; a cut becomes one entry of kind 0. */
static u32 straighten(const struct walk_stack *w, const struct walk_stream *s, struct raw_frame *to) {
    u32 leaf = MIN(s->total, (u32)s->leaf_capacity), n = 0;
    u32 limit = MIN(w->n_frames, (u32)WALK_CAPACITY);
    for (u32 i = 0; i < leaf && s->first + i < limit; i++)
        to[n++] = w->frames[s->first + i];
    if (s->total <= leaf)
        return n;
    u32 rest = s->total - leaf, root = MIN(rest, (u32)s->root_capacity), start = 0;
    if (rest > root) {
        to[n++] = (struct raw_frame){.word = {0, rest - root}};
        start = rest % s->root_capacity;
    }
    for (u32 i = 0; i < root; i++) {
        u32 slot = s->first + leaf + (start + i) % s->root_capacity;
        if (slot < limit)
            to[n++] = w->frames[slot];
    }
    return n;
}

static void push_runtime(struct assembler *a, const struct assemble_input *in, const struct raw_frame *f) {
    if (raw_kind(f) == 0) {
        push_cut(a, f);
        return;
    }
    frame_id id = session_process_name_frame(in->process, in->elder, f);
    if (id)
        push(a, id);
}

/* Marks the native frames of files that switch stacks. */
static void find_switching(struct assembler *a, const struct assemble_input *in, struct lang_streams *streams) {
    bool any = false;
    for (size_t i = 0; i < in->snapshot->count && !any; i++)
        any = in->snapshot->code[i].file && in->snapshot->code[i].file->switches_stacks;
    for (u32 i = 0; any && i < streams->n_native; i++) {
        const struct raw_frame *f = &streams->native[i];
        const struct process_code *c = raw_kind(f) ? session_process_find(in->snapshot, raw_code(f)) : NULL;
        a->switching[i] = c && c->file && c->file->switches_stacks;
    }
    streams->switching = any ? a->switching : NULL;
}

static uint32_t flags_of(const struct assembler *a, frame_id id) {
    return a->files->profile->frames[id].flags;
}

/* A frame without a name between two that only start the runtime's program starts it too: the C library's own function
 * between main() and __libc_start_main() has a name in debug symbols alone. */
static void fold_between(struct assembler *a) {
    frame_id *last = a->frames + a->n_frames - 1;
    if (a->n_frames >= 3 && (flags_of(a, last[0]) & flags_of(a, last[-2]) & FRAME_INTERNAL) &&
        (flags_of(a, last[-1]) & FRAME_UNNAMED))
        last[-1] = with_flags(a, last[-1], FRAME_INTERNAL);
}

/* How many frames the merged stack has up to the runtime's oldest. */
static u32 up_to_runtime(const struct lang_merged *merged, u32 n) {
    while (n && !merged[n - 1].lang)
        n--;
    return n;
}

/* Whether frames of the runtime are missing: each of its loops runs one at least, but for one that has just begun, or
 * that clears the frame it has run. Only two whole streams can be compared. */
static bool lacks_frames(const struct assembler *a, const struct assemble_input *in, const struct lang_streams *streams,
                         u32 n) {
    const struct lang *lang = langs[in->process->lang];
    u32 idle = 0, frames = 0, since_loop = 0;
    for (u32 i = 0; i < n; i++) {
        const struct lang_merged *m = &a->merged[i];
        const struct raw_frame *f = m->lang ? &streams->runtime[m->index] : &streams->native[m->index];
        if (raw_kind(f) == 0)
            return false;
        since_loop += m->lang != 0;
        frames += m->lang != 0;
        if (m->lang || !lang->is_loop || !lang->is_loop(in->process->runtime, raw_code(f)))
            continue;
        idle += since_loop == 0;
        since_loop = 0;
    }
    return frames ? idle > 1 : idle > 0;
}

/* Returns how the walk ended, so far as the merge knows: WALK_END_COUNT when it does not. */
static uint8_t push_merged(struct assembler *a, const struct assemble_input *in, struct lang_streams *streams) {
    const struct lang *lang = langs[in->process->lang];
    u32 n = lang->merge(in->process->runtime, streams, a->merged), oldest = up_to_runtime(a->merged, n);
    for (u32 i = 0; i < n; i++) {
        const struct lang_merged *m = &a->merged[i];
        const struct raw_frame *f = m->lang ? &streams->runtime[m->index] : &streams->native[m->index];
        if (m->lang)
            push_runtime(a, in, f);
        else
            push_native(a, in, f, m->internal);
        if (oldest && i > oldest)
            fold_between(a);
    }
    if (n && a->merged[n - 1].root)
        return WALK_END_ROOT;
    return lacks_frames(a, in, streams, n) ? WALK_END_NO_THREAD : WALK_END_COUNT;
}

static const struct walk_stream *stream_of(const struct walk_stack *w, unsigned lang) {
    for (u32 i = 0; i < MIN(w->n_streams, (u32)WALK_MAX_STREAMS); i++)
        if (w->streams[i].lang == lang)
            return &w->streams[i];
    return NULL;
}

/* A stack is as whole as its native part, unless the runtime's own list of frames broke off on the way, or is not
 * there. */
static uint8_t end_of(uint8_t native_end, uint8_t merged_end, const struct walk_stream *runtime) {
    if (native_end != WALK_END_ROOT)
        return native_end;
    if (merged_end == WALK_END_NO_THREAD && (runtime->total || runtime->end == WALK_END_NO_THREAD))
        return merged_end; /* else it knows the thread, which has just begun its first function */
    return runtime->end == WALK_END_CORRUPT || runtime->end == WALK_END_LIMIT ? runtime->end : native_end;
}

/* Pushes the user part of the stack and returns how its native walk ended. */
static uint8_t push_user(struct assembler *a, const struct assemble_input *in) {
    const struct walk_stream *native = stream_of(in->walk, 0);
    if (!native)
        return WALK_END_NONE;
    struct lang_streams streams = {.leaf_sp = in->leaf_sp};
    streams.n_native = straighten(in->walk, native, a->streams[0]);
    streams.native = a->streams[0];
    u32 certain = in->trust ? in->trust->certain : UINT32_MAX;
    uint8_t end = streams.n_native > certain ? WALK_END_REPLACED : native->end;
    streams.n_native = MIN(streams.n_native, certain);
    streams.whole = end == WALK_END_ROOT;
    const struct walk_stream *runtime = in->process->runtime ? stream_of(in->walk, in->process->lang) : NULL;
    if (runtime) {
        streams.n_runtime = straighten(in->walk, runtime, a->streams[1]);
        streams.runtime = a->streams[1];
        find_switching(a, in, &streams);
        uint8_t merged = push_merged(a, in, &streams);
        if (merged == WALK_END_ROOT)
            return end_of(merged, merged, runtime);
        end = end_of(end, merged, runtime);
    } else {
        for (u32 i = 0; i < streams.n_native; i++)
            push_native(a, in, &streams.native[i], false);
    }
    if (in->trust && in->trust->lost)
        push(a, session_frame_of_text(a->files, "[code that was mapped for a moment]", FRAME_UNNAMED));
    return end;
}

/* ---- the whole stack ---- */

/* Where frames lie on the stack matters only to the merge with a runtime's; without one, threads and depths
 * of one path share an entry. */
static uint64_t hash_frames(uint64_t h, const struct assemble_input *in) {
    u32 n = MIN(in->walk->n_frames, (u32)WALK_CAPACITY);
    if (in->process && in->process->runtime)
        return hash_mix(h, hash_bytes(in->walk->frames, n * sizeof(struct raw_frame)));
    for (u32 i = 0; i < n; i++) {
        const struct raw_frame *f = &in->walk->frames[i];
        h = hash_mix(hash_mix(h, f->word[0]), raw_kind(f) ? f->word[1] & RAW_FLAGS : f->word[1]);
    }
    return h;
}

static uint64_t hash_input(const struct assemble_input *in) {
    uint64_t h = hash_mix(in->process ? in->process->serial : 0, in->snapshot ? in->snapshot->generation : 0);
    h = hash_mix(h, in->kernel_thread);
    if (in->trust)
        h = hash_mix(h, (uint64_t)in->trust->certain << 1 | in->trust->lost);
    h = hash_mix(h, hash_bytes(in->kernel, in->n_kernel * sizeof(*in->kernel)));
    if (in->missing)
        h = hash_mix(h, hash_bytes(in->missing, strlen(in->missing)));
    if (in->walk) {
        u32 streams = MIN(in->walk->n_streams, (u32)WALK_MAX_STREAMS);
        h = hash_mix(h, hash_bytes(in->walk->streams, sizeof(in->walk->streams[0]) * streams));
        h = hash_frames(h, in);
    }
    return h;
}

struct cache_key {
    const struct assembler *a;
    uint64_t hash;
};

static bool cache_equal(const void *ctx, uint32_t id) {
    const struct cache_key *k = ctx;
    return k->a->cache[id].hash == k->hash;
}

static struct assembled build(struct assembler *a, const struct assemble_input *in) {
    struct profile *p = a->files->profile;
    struct assembled r = {.end = WALK_END_ROOT};
    a->n_frames = 0;
    a->cut = false;
    for (size_t i = 0; i < in->n_kernel; i++)
        push(a, kernel_frame(a, in->kernel[i], i == 0));
    if (!in->kernel_thread)
        r.end = in->walk && in->process && in->snapshot ? push_user(a, in) : WALK_END_NONE;
    if (in->missing) {
        push_mark(a, in->missing);
    } else if (r.end != WALK_END_ROOT) {
        char text[160];
        snprintf(text, sizeof(text), "[truncated: %s]", walk_end_sentence[MIN(r.end, WALK_END_COUNT - 1)]);
        push_mark(a, text);
    }
    for (size_t i = a->n_frames; i-- > 0;) {
        uint32_t flags = p->frames[a->frames[i]].flags;
        r.stack = profile_stack(p, r.stack, a->frames[i]);
        r.frames += !(flags & FRAME_MARK);
        r.unnamed += (flags & FRAME_UNNAMED) != 0;
        r.approximate += (flags & FRAME_APPROXIMATE) != 0;
    }
    r.cut = a->cut;
    return r;
}

static void remember(struct assembler *a, uint64_t hash, const struct assembled *r) {
    if (a->n_cache == MAX_CACHED_STACKS) { /* most are of the past: mappings change, processes end */
        hash_index_clear(&a->index);
        a->n_cache = 0;
    }
    if (mem_grow((void **)&a->cache, &a->cap_cache, a->n_cache + 1, sizeof(*a->cache)) == 0 &&
        hash_index_add(&a->index, hash, (uint32_t)a->n_cache) == 0)
        a->cache[a->n_cache++] = (struct cached_stack){.hash = hash, .result = *r};
}

struct assembled assemble(struct assembler *a, const struct assemble_input *in) {
    struct cache_key key = {.a = a, .hash = hash_input(in)};
    uint32_t id = hash_index_find(&a->index, key.hash, cache_equal, &key);
    if (id != UINT32_MAX)
        return a->cache[id].result;
    struct assembled r = build(a, in);
    remember(a, key.hash, &r);
    return r;
}

void assembled_count(struct session_files *files, const struct assembled *a) {
    struct profile *p = files->profile;
    struct profile_quality *q = &p->quality;
    files->deep_stacks += a->cut;
    q->samples_taken++;
    q->frames += a->frames;
    q->frames_unnamed += a->unnamed;
    q->frames_approximate += a->approximate;
    if (a->end == WALK_END_ROOT)
        q->stacks_whole++;
    else
        profile_count_truncated(p, walk_end_sentence[MIN(a->end, WALK_END_COUNT - 1)], 1);
}
