/* scry dump: every thread's stack, now. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyse/text.h"
#include "base/json.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "session/session.h"

static const char *thread_state_word(const struct profile *p, labels_id labels) {
    static const struct {
        char letter;
        const char *word;
    } words[] = {{'R', "running"}, {'S', "sleeping"}, {'D', "in uninterruptible sleep"},
                 {'T', "stopped"}, {'t', "traced"},   {'Z', "zombie"},
                 {'X', "dead"},    {'I', "idle"}};
    struct profile_labels_range r = p->label_sets[labels];
    for (uint32_t i = 0; i < r.count; i++) {
        const struct profile_label *l = &p->labels[r.first + i];
        if (strcmp(profile_str(p, l->key), "state") != 0)
            continue;
        for (size_t w = 0; w < ARRAY_SIZE(words); w++)
            if (profile_str(p, l->text)[0] == words[w].letter)
                return words[w].word;
    }
    return "";
}

/* ---- text ---- */

/* Everything that is named by others goes through here. */
static void add_words(struct buf *out, const char *before, const char *words) {
    buf_adds(out, before);
    text_add(out, words, TEXT_WHOLE);
}

static void add_frame_text(struct buf *out, const struct profile *p, const struct profile_frame *f) {
    const struct profile_function *fn = &p->functions[f->function];
    string_id module = f->flags & FRAME_UNNAMED ? 0 : p->mappings[f->mapping].file;
    const char *place = profile_str(p, fn->file ? fn->file : module);
    add_words(out, "    ", profile_str(p, fn->name));
    if (place[0]) {
        add_words(out, " (", place);
        if (fn->file && f->line)
            buf_addf(out, ":%u", f->line);
        buf_addc(out, ')');
    }
    if (f->flags & FRAME_INLINED)
        buf_adds(out, " [inlined]");
    if (f->flags & FRAME_APPROXIMATE)
        buf_adds(out, " [approximate]");
    buf_addc(out, '\n');
}

static void add_stack_text(struct buf *out, const struct profile *p, stack_id stack, bool internal) {
    for (; stack; stack = p->stacks[stack].parent) {
        const struct profile_frame *f = &p->frames[p->stacks[stack].frame];
        if (internal || !(f->flags & FRAME_INTERNAL))
            add_frame_text(out, p, f);
    }
}

static void dump_text(struct buf *out, const struct profile *p, bool internal) {
    add_words(out, "", profile_str(p, p->command));
    if (p->n_samples && p->threads[p->samples[0].thread].runtime)
        add_words(out, ", ", profile_str(p, p->threads[p->samples[0].thread].runtime));
    buf_addf(out, ", %zu thread%s\n", p->n_samples, p->n_samples == 1 ? "" : "s");
    for (size_t i = 0; i < p->quality.n_notes; i++) {
        add_words(out, "note: ", profile_str(p, p->quality.notes[i]));
        buf_addc(out, '\n');
    }
    for (size_t i = 0; i < p->n_samples; i++) {
        const struct profile_thread *t = &p->threads[p->samples[i].thread];
        const char *state = thread_state_word(p, p->samples[i].labels);
        buf_addf(out, "\nthread %u ", t->tid);
        add_words(out, "\"", profile_str(p, t->thread_name));
        buf_addf(out, "\"%s%s\n", state[0] ? ", " : "", state);
        add_stack_text(out, p, p->samples[i].stack, internal);
    }
}

/* ---- JSON ---- */

/* As a string, as profiles have it: numbers of JSON lose digits above 2^53. */
static void add_address_json(struct json *j, uint64_t address) {
    char text[24];
    snprintf(text, sizeof(text), "0x%" PRIx64, address);
    json_kstring(j, "address", text);
}

static void add_frame_json(struct json *j, const struct profile *p, const struct profile_frame *f) {
    const struct profile_function *fn = &p->functions[f->function];
    json_object(j);
    json_kstring(j, "function", profile_str(p, fn->name));
    json_kstring(j, "kind", profile_str(p, f->kind));
    json_kstring(j, "file", profile_str(p, fn->file));
    json_ku64(j, "line", f->line);
    if (f->column)
        json_ku64(j, "column", f->column);
    if (f->mapping)
        json_kstring(j, "module", profile_str(p, p->mappings[f->mapping].file));
    if (f->address)
        add_address_json(j, f->address);
    json_kbool(j, "inlined", f->flags & FRAME_INLINED);
    json_kbool(j, "internal", f->flags & FRAME_INTERNAL);
    json_kbool(j, "approximate", f->flags & FRAME_APPROXIMATE);
    json_kbool(j, "mark", f->flags & FRAME_MARK);
    json_object_end(j);
}

static void dump_json(struct buf *out, const struct profile *p, bool internal) {
    struct json j = json_to(out);
    json_object(&j);
    json_kstring(&j, "target", profile_str(p, p->command));
    json_ku64(&j, "stopped_ns", p->quality.probe_ns);
    json_key(&j, "notes");
    json_array(&j);
    for (size_t i = 0; i < p->quality.n_notes; i++)
        json_string(&j, profile_str(p, p->quality.notes[i]));
    json_array_end(&j);
    json_key(&j, "threads");
    json_array(&j);
    for (size_t i = 0; i < p->n_samples; i++) {
        const struct profile_thread *t = &p->threads[p->samples[i].thread];
        json_object(&j);
        json_ku64(&j, "pid", t->pid);
        json_ku64(&j, "tid", t->tid);
        json_kstring(&j, "name", profile_str(p, t->thread_name));
        json_kstring(&j, "runtime", profile_str(p, t->runtime));
        json_kstring(&j, "state", thread_state_word(p, p->samples[i].labels));
        json_key(&j, "frames"); /* leaf first */
        json_array(&j);
        for (stack_id s = p->samples[i].stack; s; s = p->stacks[s].parent) {
            const struct profile_frame *f = &p->frames[p->stacks[s].frame];
            if (internal || !(f->flags & FRAME_INTERNAL))
                add_frame_json(&j, p, f);
        }
        json_array_end(&j);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    buf_addc(out, '\n');
}

int cmd_dump(const struct options *o, struct err *err) {
    struct session_dump_options dump = {.pid = o->n_pids ? o->pids[0] : 0, .core = o->core, .sysroot = o->sysroot};
    _cleanup_(profile_freep) struct profile *p = NULL;
    int rc = session_dump(&dump, &p, err);
    if (rc < 0)
        return rc;
    _cleanup_(buf_free) struct buf out = {0};
    if (o->json)
        dump_json(&out, p, o->internal);
    else
        dump_text(&out, p, o->internal);
    return output_text(&out, err);
}
