/* Prints what the Python reader sees of a stopped process or a core file, for the tests to compare with
 * what the interpreter says of itself.
 *
 *     python_probe [--no-slot] [--loops] PID | CORE
 *
 * One JSON object: version, whether the thread-local slot is known, threads {tid: {end, frames}}; a frame
 * is [name, file, line, first line, column], leaf first. --no-slot makes the walk search the interpreter's
 * lists; --loops adds where the evaluation loop's code was found, relative to its file. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "lang/lang.h"
#include "lang/python/python_process.h"

struct probe_host {
    struct walk_host host; /* must be first */
    struct target *target;
};

static int read_target(struct walk_host *host, u64 address, void *dst, size_t size) {
    return target_read(((struct probe_host *)host)->target, address, dst, size);
}

static const char *const end_names[] = {
#define WALK_END(name, whole, sentence) [WALK_END_##name] = #name,
#include "unwind/walk_ends.def"
#undef WALK_END
};

static void print_frame(struct json *j, const struct profile *p, frame_id id) {
    const struct profile_frame *f = &p->frames[id];
    const struct profile_function *function = &p->functions[f->function];
    json_array(j);
    json_string(j, profile_str(p, function->name));
    json_string(j, profile_str(p, function->file));
    json_u64(j, f->line);
    json_u64(j, function->start_line);
    json_u64(j, f->column);
    json_array_end(j);
}

static void print_thread(struct json *j, struct lang_process *lp, struct profile *p, pid_t tid,
                         const struct python_config *config) {
    static struct walk_stack stack;
    struct target_registers registers;
    if (target_thread_registers(lp->target, tid, &registers, NULL) < 0)
        return;
    struct probe_host host = {.host = {.read = read_target}, .target = lp->target};
    struct walk_state state = {.host = &host.host, .leaf = {.tls_base = registers.tls_base}, .tid = (u32)tid};
    struct walk w = {.stack = &stack, .state = &state};
    char key[16];
    stack.n_streams = stack.n_frames = 0;
    langs[LANG_python]->walk(&w, config);
    snprintf(key, sizeof(key), "%d", (int)tid);
    json_key(j, key);
    json_object(j);
    json_kstring(j, "end", end_names[stack.streams[0].end]);
    json_key(j, "frames");
    json_array(j);
    for (u32 i = 0; i < stack.n_frames; i++) {
        frame_id id = langs[LANG_python]->name_frame(lp, p, &stack.frames[i]);
        if (id)
            print_frame(j, p, id);
    }
    json_array_end(j);
    json_object_end(j);
}

static void print_loops(struct json *j, const struct lang_process *lp) {
    json_key(j, "loops");
    json_array(j);
    for (unsigned i = 0; i < PYTHON_MAX_LOOPS && lp->config.loop[i].end; i++) {
        json_u64(j, lp->config.loop[i].start - lp->loop_bias);
        json_u64(j, lp->config.loop[i].end - lp->loop_bias);
    }
    json_array_end(j);
}

static void print_threads(struct json *j, struct lang_process *lp, const struct python_config *config) {
    struct profile *p = profile_new();
    pid_t *tids = NULL;
    size_t n = 0;
    target_threads(lp->target, &tids, &n);
    json_key(j, "threads");
    json_object(j);
    for (size_t i = 0; p && i < n; i++)
        print_thread(j, lp, p, tids[i], config);
    json_object_end(j);
    free(tids);
    profile_free(p);
}

static int probe(struct target *t, bool no_slot, bool loops, struct err *err) {
    struct lang_process *lp;
    struct buf out = {0};
    struct json j = json_to(&out);
    int rc = langs[LANG_python]->attach(t, &lp, err);
    if (rc < 0)
        return rc;
    struct python_config config = lp->config;
    if (no_slot)
        config.slot.count = 0;
    json_object(&j);
    json_kstring(&j, "version", langs[LANG_python]->version(lp));
    json_ku64(&j, "slot", lp->config.slot.count);
    json_kbool(&j, "complete", lp->config.flags & PYTHON_SLOT_COMPLETE);
    json_kbool(&j, "code_type", lp->config.code_type != 0);
    if (loops)
        print_loops(&j, lp);
    rc = target_stop(t, err);
    if (rc == 0)
        print_threads(&j, lp, &config);
    target_resume(t);
    json_object_end(&j);
    puts(buf_cstr(&out));
    buf_free(&out);
    langs[LANG_python]->detach(lp);
    return rc;
}

int main(int argc, char **argv) {
    bool no_slot = false, loops = false;
    struct target *t;
    struct err err = {0};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        no_slot = no_slot || strcmp(argv[i], "--no-slot") == 0;
        loops = loops || strcmp(argv[i], "--loops") == 0;
    }
    if (i + 1 != argc)
        return 2;
    bool live = isdigit((unsigned char)argv[i][0]);
    int rc = live ? target_open(atoi(argv[i]), &t, &err) : target_open_core(argv[i], "", &t, &err);
    if (rc == 0) {
        rc = probe(t, no_slot, loops, &err);
        target_close(t);
    }
    if (rc < 0)
        fprintf(stderr, "%d: %s\n", rc, err.text);
    return rc < 0;
}
