#include "session/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bisect.h"
#include "base/clock.h"
#include "unwind/walk_native.h"
#include "unwind/x86_64.h"

/* ---- snapshots of the code mappings ---- */

const struct process_code *session_process_find(const struct process_snapshot *s, uint64_t address) {
    size_t low = bisect(i, s->count, s->code[i].end <= address);
    return low < s->count && address >= s->code[low].start ? &s->code[low] : NULL;
}

const struct process_snapshot *session_process_at(const struct session_process *p, uint64_t time_ns,
                                                  const struct process_snapshot **ret_before) {
    static const struct process_snapshot none;
    const struct process_snapshot *s = &p->now;
    size_t i = 0;
    for (; i < PAST_SNAPSHOTS && p->past[i].code && time_ns < s->since_ns; i++)
        s = &p->past[i];
    if (ret_before)
        *ret_before = i < PAST_SNAPSHOTS ? &p->past[i] : &none;
    return s;
}

/* What is known of a mapping from the snapshot before: a mapping holds its file, so what has not moved
 * need not be opened again. NULL when it is new. */
static const struct process_code *known_code(const struct session_process *p, const struct target_mapping *m) {
    const struct process_code *c = session_process_find(&p->now, m->start);
    if (!c || !c->file || c->start != m->start || c->end != m->end || c->offset != m->offset)
        return NULL;
    return c->file->device == m->device && c->file->inode == m->inode ? c : NULL;
}

/* Whether the core says of a part of this mapping's file what it is: it has what was written to, as of every program
 * and library, but not of data that are only read. Parts of a file lie side by side. */
static bool is_known_in_part(const struct session_process *p, const struct target_mapping *m) {
    size_t n, at;
    const struct target_mapping *all = target_mappings(p->target, &n);
    bool known = false;
    for (at = (size_t)(m - all); at > 0 && strcmp(all[at - 1].path, m->path) == 0; at--)
        known |= !all[at - 1].assumed;
    for (at = (size_t)(m - all); at < n && !known && strcmp(all[at].path, m->path) == 0; at++)
        known = !all[at].assumed;
    return known;
}

/* Whether code that ran is lost with a file that gave none for its mapping: `f`, or NULL when it was not to be had.
 * A core that a debugger wrote leaves out code and data alike, so what is there but no code may be just that. */
static bool is_lost(const struct session_process *p, const struct target_mapping *m, const struct session_file *f) {
    if (m->path[0] != '/')
        return false;
    return f ? f->symbols && !m->assumed : !m->assumed || is_known_in_part(p, m);
}

static void describe_code(struct session_process *p, const struct target_mapping *m, struct process_code *ret) {
    const struct process_code *known = known_code(p, m);
    if (known) {
        *ret = *known;
        session_file_use(p->files, ret->file);
        return;
    }
    *ret = (struct process_code){.start = m->start, .end = m->end, .offset = m->offset};
    bool has_file = m->path[0] == '/' || strcmp(m->path, "[vdso]") == 0;
    if (!has_file)
        return;
    struct session_file *f = session_files_get(p->files, p->target, m);
    if (!f || !f->symbols || symbol_file_bias(f->symbols, m, &ret->bias) < 0) {
        char name[256];
        const char *slash = strrchr(m->path, '/');
        snprintf(name, sizeof(name), m->path[0] == '[' ? "%s" : "[%s]", slash ? slash + 1 : m->path);
        ret->absent = profile_string(p->files->profile, name);
        ret->lost = is_lost(p, m, f);
        return;
    }
    ret->file = f;
    session_file_use(p->files, f);
    p->new_files = true;
}

static void release_snapshot(struct session_process *p, struct process_snapshot *s) {
    for (size_t i = 0; i < s->count; i++)
        if (s->code[i].file)
            session_file_leave(p->files, s->code[i].file);
    free(s->code);
    *s = (struct process_snapshot){0};
}

static int take_snapshot(struct session_process *p) {
    uint64_t taken_ns = clock_monotonic_ns();
    size_t n;
    const struct target_mapping *all = target_mappings(p->target, &n);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (all[i].protection & PROT_EXEC) != 0;
    count = MIN(count, (size_t)TABLE_MAX_MAPPINGS);
    struct process_code *code = mem_zalloc(count, sizeof(*code));
    if (!code)
        return -ENOMEM;
    size_t k = 0;
    for (size_t i = 0; i < n && k < count; i++)
        if (all[i].protection & PROT_EXEC && all[i].start < 1ull << 63) /* not [vsyscall] */
            describe_code(p, &all[i], &code[k++]);
    release_snapshot(p, &p->past[PAST_SNAPSHOTS - 1]);
    memmove(&p->past[1], &p->past[0], sizeof(p->past) - sizeof(p->past[0]));
    p->past[0] = p->now;
    p->now = (struct process_snapshot){.code = code,
                                       .count = k,
                                       .generation = p->past[0].generation + 1,
                                       .since_ns = p->refreshed_ns,
                                       .taken_ns = taken_ns};
    return 0;
}

/* ---- the walk's view ---- */

static void fill_mapping(const struct process_code *c, struct table_mapping *ret) {
    *ret = (struct table_mapping){.start = c->start, .end = c->end, .bias = c->bias};
    if (!c->file)
        ret->flags = TABLE_MAPPING_ANONYMOUS;
    else if (c->file->tables_state == FILE_TABLES_NONE ||
             (c->file->tables_state == FILE_TABLES_LOADED && !tables_file_covers(&c->file->tables, c->start - c->bias)))
        ret->flags = TABLE_MAPPING_NO_TABLE;
    else if (c->file->tables_state == FILE_TABLES_LOADED) {
        ret->flags = TABLE_MAPPING_LOADED;
        ret->pages_at = tables_file_pages_at(&c->file->tables, c->start - c->bias);
    }
}

/* Puts the present snapshot where the walk looks. */
static int publish_mappings(struct session_process *p) {
    struct table_mapping *list = mem_zalloc(p->now.count, sizeof(*list));
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < p->now.count; i++)
        fill_mapping(&p->now.code[i], &list[i]);
    u32 at = 0;
    int rc = tables_publish_mappings(p->files->tables, list, (u32)p->now.count, &at);
    free(list);
    if (rc < 0)
        return rc;
    tables_retire_mappings(p->files->tables, p->table.mappings_at, p->table.n_mappings);
    p->table.mappings_at = at;
    p->table.n_mappings = (u32)p->now.count;
    p->tables_seen = p->files->tables_loaded;
    return 0;
}

bool session_process_refresh(struct session_process *p) {
    bool changed = false;
    p->refreshed_ns = clock_monotonic_ns();
    int rc = target_refresh_mappings(p->target, &changed, NULL);
    p->ended = rc == -ESRCH;
    if (rc < 0 || !changed)
        return false;
    p->new_files = false;
    if (take_snapshot(p) < 0 || publish_mappings(p) < 0)
        return false;
    if (!p->runtime && p->new_files) /* generated code brings no interpreter */
        p->next_attach_ns = 1;
    return true;
}

bool session_process_load_tables(struct session_process *p, uint64_t pc) {
    const struct process_code *c = session_process_find(&p->now, pc);
    if (!c || !c->file)
        return false;
    if (c->file->tables_state == FILE_TABLES_UNKNOWN)
        session_file_load_tables(p->files, c->file);
    else if (p->tables_seen == p->files->tables_loaded)
        return false; /* the list says already what there is to say */
    return publish_mappings(p) == 0;
}

/* Whether nearly every stack goes through a file. */
static bool is_common(const struct session_process *p, size_t i) {
    static const char *const common[] = {"/libc.so", "/libc-", "/libpthread", "/libpython", "/ld-musl"};
    const char *path = p->now.code[i].file->path;
    bool found = i == 0; /* the program itself is mapped lowest, as a rule */
    for (size_t k = 0; k < ARRAY_SIZE(common) && !found; k++)
        found = strstr(path, common[k]) != NULL;
    return found;
}

/* Names take longest of all, so their loading begins as soon as it is known which. */
static void prepare_names(const struct session_process *p) {
    for (size_t i = 0; i < p->now.count; i++) {
        struct session_file *f = p->now.code[i].file;
        if (f && is_common(p, i))
            symbol_file_prepare(f->symbols);
    }
}

void session_process_expect(struct session_process *p, const uint64_t *code, size_t n) {
    _cleanup_(freep) uint64_t *addresses = mem_alloc(n * sizeof(*addresses));
    for (size_t k = 0; addresses && k < p->now.count; k++) {
        const struct process_code *c = &p->now.code[k];
        if (!c->file || !c->file->symbols)
            continue;
        size_t count = 0;
        for (size_t i = bisect(m, n, code[m] < c->start); i < n && code[i] < c->end; i++)
            addresses[count++] = code[i] - c->bias;
        symbol_file_expect(c->file->symbols, addresses, count);
    }
}

void session_process_preload(struct session_process *p) {
    bool loaded = false;
    for (size_t i = 0; i < p->now.count; i++) {
        struct session_file *f = p->now.code[i].file;
        if (f && is_common(p, i) && f->tables_state == FILE_TABLES_UNKNOWN) {
            session_file_load_tables(p->files, f);
            loaded = true;
        }
    }
    if (loaded)
        publish_mappings(p);
}

/* ---- runtimes ---- */

/* A runtime that is there but cannot be read is asked again, ever more rarely; one that is about to start, soon: until
 * then its frames are missing. */
static void plan_next_attach(struct session_process *p, uint64_t now_ns, bool starts) {
    enum { MOST = 9, MOST_AT_START = 3 };
    p->next_attach_ns = now_ns + (10000000ull << MIN(p->attach_tries, (unsigned)(starts ? MOST_AT_START : MOST)));
    p->attach_tries++;
}

bool session_process_attach_runtime(struct session_process *p, uint64_t now_ns) {
    if (p->runtime || p->next_attach_ns == 0 || now_ns < p->next_attach_ns)
        return false;
    p->next_attach_ns = 0;
    enum lang_id lang;
    int rc = lang_attach(p->target, &lang, &p->runtime, &p->attach_error);
    if (rc < 0) {
        if (rc != -ENOENT)
            plan_next_attach(p, now_ns, rc == -EAGAIN);
        return false;
    }
    p->lang = lang;
    p->table.langs = 1u << lang;
    p->attach_error = (struct err){0};
    langs[lang]->config(p->runtime, p->table.config);
    char text[128];
    snprintf(text, sizeof(text), "%s %s", langs[lang]->name, langs[lang]->version(p->runtime));
    p->runtime_name = profile_string(p->files->profile, text);
    u64_map_free(&p->threads); /* they carry the runtime's name */
    return true;
}

/* ---- life ---- */

int session_process_of(struct session_files *files, struct target *target, uint64_t read_ns,
                       struct session_process **ret, struct err *err) {
    struct session_process *p = mem_zalloc(1, sizeof(*p));
    if (!p) {
        target_close(target);
        return err_nomem(err);
    }
    p->pid = target_pid(target);
    p->serial = ++files->last_serial;
    p->target = target;
    p->files = files;
    const struct target_info *info = target_get_info(target);
    p->name = profile_string(files->profile, info ? info->comm : "");
    p->container = profile_string(files->profile, info ? info->container : "");
    p->refreshed_ns = read_ns;
    p->next_attach_ns = 1;
    if (take_snapshot(p) < 0 || publish_mappings(p) < 0) {
        session_process_close(p);
        return err_nomem(err);
    }
    struct session_file *program = p->now.count ? p->now.code[0].file : NULL; /* mapped lowest, as a rule */
    if (p->serial == 1 && program && symbol_file_is_executable(program->symbols))
        session_file_mapping(files, program); /* the profile's first, as pprof's readers want it */
    if (files->once)
        prepare_names(p);
    session_process_attach_runtime(p, clock_monotonic_ns());
    *ret = p;
    return 0;
}

int session_process_open(struct session_files *files, pid_t pid, struct session_process **ret, struct err *err) {
    struct target *target;
    uint64_t read_ns = clock_monotonic_ns(); /* before the mappings are read: what comes later is news */
    int rc = target_open(pid, &target, err);
    return rc < 0 ? rc : session_process_of(files, target, read_ns, ret, err);
}

void session_process_close(struct session_process *p) {
    if (!p)
        return;
    if (p->runtime)
        langs[p->lang]->detach(p->runtime);
    tables_retire_mappings(p->files->tables, p->table.mappings_at, p->table.n_mappings);
    symbol_perf_map_close(p->perf_map);
    target_close(p->target);
    release_snapshot(p, &p->now);
    for (size_t i = 0; i < PAST_SNAPSHOTS; i++)
        release_snapshot(p, &p->past[i]);
    u64_map_free(&p->threads);
    free(p);
}

/* ---- walking in user space ---- */

/* Improves what stopped a walk at `code`. Returns whether it is worth walking again. */
static bool improve(struct session_process *p, int end, uint64_t code, bool *refreshed) {
    if (end == WALK_END_NO_TABLE)
        return session_process_load_tables(p, code);
    if (end == WALK_END_UNMAPPED && !*refreshed) {
        *refreshed = true;
        return session_process_refresh(p);
    }
    return false;
}

/* A thread whose thread pointer is not known may be the runtime's although that did not find it. */
static void doubt_runtime(struct walk_stack *stack) {
    bool found = stack->n_streams > 1 && stack->streams[1].end != WALK_END_NO_THREAD;
    if (!found && stack->streams[0].end == WALK_END_ROOT)
        stack->streams[0].end = WALK_END_REGISTERS;
}

void session_process_walk(struct session_process *p, const struct session_walk *how, struct walk_stack *ret) {
    struct walk_state state;
    struct walk w = {.stack = ret, .state = &state};
    bool refreshed = false;
    for (unsigned tries = 0;; tries++) {
        memset(&state, 0, sizeof(state));
        state.host = how->host;
        state.leaf = *how->regs;
        state.tid = how->tid;
        state.partial = how->partial;
        ret->n_streams = 0;
        ret->n_frames = 0;
        int end = walk_native(&w, p->files->tables, p->table.mappings_at, p->table.n_mappings, how->exact);
        if (tries >= 256 || !improve(p, end, walk_native_at(&w), &refreshed))
            break;
    }
    if (how->runtime && p->runtime) {
        langs[p->lang]->walk(&w, p->table.config);
        if (how->partial)
            doubt_runtime(ret);
    }
}

void session_process_rewalked(struct session_process *p, const struct session_walk *how, struct walk_stack *stack) {
    struct walk_state state = {.host = how->host, .leaf = *how->regs, .floor = how->regs->value[ARCH_STACK_POINTER]};
    struct walk w = {.stack = stack, .state = &state};
    if (p->runtime && langs[p->lang]->rewalked && stack->n_streams > 1 &&
        stack->streams[stack->n_streams - 1].lang == p->lang)
        langs[p->lang]->rewalked(&w, p->table.config);
}

static frame_id name_frame(struct session_process *p, const struct raw_frame *f) {
    size_t before = p->files->profile->n_functions;
    frame_id id = langs[p->lang]->name_frame(p->runtime, p->files->profile, f);
    p->files->runtime_names += p->files->profile->n_functions - before;
    return id;
}

static bool is_unnamed(const struct session_process *p, frame_id id) {
    return id && p->files->profile->frames[id].flags & FRAME_UNNAMED;
}

frame_id session_process_name_frame(struct session_process *p, struct session_process *elder,
                                    const struct raw_frame *f) {
    frame_id id = name_frame(p, f);
    if (!is_unnamed(p, id) || !elder || !elder->runtime || elder->lang != p->lang)
        return id;
    frame_id its = name_frame(elder, f);
    return is_unnamed(p, its) ? id : its;
}

void session_process_read_names(struct session_process *p, struct session_process *elder, const struct walk_stack *w) {
    for (u32 i = 0; p->runtime && i < MIN(w->n_streams, (u32)WALK_MAX_STREAMS); i++) {
        const struct walk_stream *s = &w->streams[i];
        for (u32 k = s->first; s->lang == p->lang && k < MIN(s->first + walk_stream_kept(s), w->n_frames); k++)
            session_process_name_frame(p, elder, &w->frames[k]);
    }
}

/* ---- threads ---- */

/* A thread is seen before its program has said what it is called; in the map it is marked as such. */
#define KERNEL_NAME (1ull << 32)

static bool program_name(struct session_process *p, u32 tid, char *ret, size_t size) {
    return p->runtime && langs[p->lang]->thread_name && langs[p->lang]->thread_name(p->runtime, tid, ret, size) == 0;
}

/* A thread begins with the name of the one that made it, and most give themselves another; its last one counts. */
static thread_id known_thread(struct session_process *p, u32 tid, uint64_t *known, const char *comm) {
    struct profile *profile = p->files->profile;
    thread_id id = (thread_id)*known;
    char name[64];
    if (program_name(p, tid, name, sizeof(name))) {
        *known &= ~KERNEL_NAME;
        comm = name;
    } else if (!(*known & KERNEL_NAME)) {
        return id;
    }
    if (comm && strcmp(comm, profile_str(profile, profile->threads[id].thread_name)) != 0)
        profile_rename_thread(profile, id, profile_string(profile, comm));
    return id;
}

struct profile_thread session_process_identity(const struct session_process *p) {
    return (struct profile_thread){
        .pid = (uint32_t)p->pid, .process_name = p->name, .container = p->container, .runtime = p->runtime_name};
}

thread_id session_process_thread(struct session_process *p, u32 tid, const char *comm) {
    uint64_t *known = u64_map_get(&p->threads, tid);
    if (known)
        return known_thread(p, tid, known, comm);
    char name[64] = "";
    bool named = program_name(p, tid, name, sizeof(name));
    if (!named && comm)
        snprintf(name, sizeof(name), "%s", comm);
    else if (!named)
        target_thread_name(p->target, (pid_t)tid, name, sizeof(name));
    struct profile_thread t = session_process_identity(p);
    t.tid = tid;
    t.thread_name = profile_string(p->files->profile, name);
    thread_id id = profile_thread(p->files->profile, &t);
    if (u64_map_put(&p->threads, tid, id | (named ? 0 : KERNEL_NAME)) < 0)
        p->files->profile->profile_failed = true;
    return id;
}
