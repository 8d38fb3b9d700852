/* Makes a profile by chance and writes it, and tells in its own words what is in it:
 *
 *   random_profile SEED KIND FILE >TRUTH       KIND: plain, or odd (names that formats stumble over)
 *
 * The truth is printed as JSON from the arrays below, before anything is interned: a list of samples, each with
 * its frames leaf first. The tests compare it with what other tools read from FILE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "format/format.h"

enum { FUNCTIONS = 60, MAPPINGS = 4, PLACES = 150, THREADS = 5, STACKS = 120, SAMPLES = 400, DEEPEST = 24 };

struct place { /* what one address stands for: a line of a function, inlined into another's, ... */
    unsigned functions[3], lines[3], n, mapping;
    uint64_t address;
    const char *kind;
    uint32_t flags;
};

static struct place places[PLACES];
static char names[FUNCTIONS][64], files[FUNCTIONS][64];
static unsigned stacks[STACKS][DEEPEST], depths[STACKS];
static uint64_t state;
static bool odd;

static unsigned pick(unsigned below) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33) % below;
}

static void make_names(void) {
    static const char *const strange[] = {
        "a;b",      "two\nlines", "<script>&\"'",    "\xff\xfe bytes", "caf\xc3\xa9 \xe2\x82\xac",
        "ends_[k]", "tab\there",  " spaces around ", "\x7f\x01",       "cut\xe2\x82"};
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        if (odd && i < ARRAY_SIZE(strange))
            snprintf(names[i], sizeof(names[i]), "%s", strange[i]);
        else
            snprintf(names[i], sizeof(names[i]), "function_%u", i);
        if (i % 7)
            snprintf(files[i], sizeof(files[i]), "/src/%s%u.c", odd && i % 3 == 0 ? "\xc3\x28 & <" : "file", i % 11);
    }
}

static void make_places(void) {
    for (unsigned i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        p->n = 1 + (pick(4) == 0) + (pick(10) == 0);
        for (unsigned k = 0; k < p->n; k++) {
            p->functions[k] = pick(FUNCTIONS);
            p->lines[k] = pick(1000);
        }
        p->kind = i % 5 == 0 ? "python" : i % 11 == 0 ? "kernel" : "native";
        if (i % 5 == 0) {
            p->n = 1;
        } else {
            p->mapping = pick(MAPPINGS);
            p->address = 0x10000000ull * (p->mapping + 1) + 16 * i;
        }
        if (i % 13 == 0)
            p->flags |= FRAME_INTERNAL;
    }
}

static void make_stacks(void) {
    for (unsigned i = 0; i < STACKS; i++) {
        unsigned shared = i ? pick(depths[i - 1] + 1) : 0;
        unsigned depth = shared + pick(DEEPEST / 2); /* MIN and MAX would pick more than once */
        depths[i] = MAX(1u, MIN((unsigned)DEEPEST, depth));
        if (i)
            memcpy(stacks[i], stacks[i - 1], shared * sizeof(stacks[0][0]));
        for (unsigned k = shared; k < depths[i]; k++)
            stacks[i][k] = pick(PLACES);
    }
}

/* ---- the truth ---- */

static void tell_frame(struct json *j, const struct place *p, unsigned k) {
    unsigned f = p->functions[k];
    json_object(j);
    json_kstring(j, "name", names[f]);
    json_kstring(j, "file", files[f]);
    json_ku64(j, "start_line", f * 10 + 1);
    json_ku64(j, "line", p->lines[k]);
    json_ku64(j, "address", p->address);
    json_kbool(j, "inlined", k + 1 < p->n);
    json_kbool(j, "internal", p->flags & FRAME_INTERNAL);
    json_ku64(j, "mapping", p->address ? p->mapping + 1 : 0);
    json_kstring(j, "kind", p->kind);
    json_object_end(j);
}

static void tell_stack(struct json *j, unsigned stack) {
    json_key(j, "frames");
    json_array(j);
    for (unsigned d = depths[stack]; d-- > 0;)
        for (unsigned k = 0; k < places[stacks[stack][d]].n; k++)
            tell_frame(j, &places[stacks[stack][d]], k);
    json_array_end(j);
}

/* ---- the same in the model ---- */

static frame_id frame_of(struct profile *p, const struct place *l, unsigned k) {
    unsigned f = l->functions[k];
    char id[48], path[48];
    snprintf(id, sizeof(id), "%040x", l->mapping + 0xabc);
    snprintf(path, sizeof(path), "/usr/lib/lib%u.so", l->mapping + 1);
    struct profile_function function = {
        .name = profile_string(p, names[f]), .file = profile_string(p, files[f]), .start_line = f * 10 + 1};
    struct profile_mapping mapping = {.file = profile_string(p, path),
                                      .build_id = profile_string(p, id),
                                      .start = 0x10000000ull * (l->mapping + 1),
                                      .limit = 0x10000000ull * (l->mapping + 1) + 0x100000,
                                      .offset = 0x1000 * l->mapping};
    struct profile_frame frame = {.function = profile_function(p, &function),
                                  .line = l->lines[k],
                                  .kind = profile_string(p, l->kind),
                                  .flags = l->flags | (k + 1 < l->n ? FRAME_INLINED : 0),
                                  .address = l->address};
    if (l->address)
        frame.mapping = profile_mapping(p, &mapping);
    return profile_frame(p, &frame);
}

static stack_id stack_of(struct profile *p, unsigned stack) {
    stack_id s = 0;
    for (unsigned d = 0; d < depths[stack]; d++)
        for (unsigned k = places[stacks[stack][d]].n; k-- > 0;)
            s = profile_stack(p, s, frame_of(p, &places[stacks[stack][d]], k));
    return s;
}

static thread_id thread_of(struct profile *p, unsigned t, char *name, size_t size) {
    snprintf(name, size, "worker-%u", t);
    return profile_thread(p, &(struct profile_thread){.pid = 100 + t / 3,
                                                      .tid = 200 + t,
                                                      .process_name = profile_string(p, "server"),
                                                      .thread_name = profile_string(p, name)});
}

static void add_quality(struct profile *p) {
    p->quality.samples_taken = SAMPLES;
    p->quality.samples_lost = 7;
    p->quality.stacks_whole = SAMPLES - 3;
    p->quality.slowdown_bound = 0.0025;
    profile_count_truncated(p, "no unwind information", 3);
    profile_note(p, "made by chance");
}

static void add_samples(struct profile *p, struct json *j) {
    json_key(j, "samples");
    json_array(j);
    for (unsigned i = 0; i < SAMPLES; i++) {
        unsigned stack = pick(STACKS), t = pick(THREADS);
        int64_t values[] = {1, 10000000 + (int64_t)pick(1000000)};
        char name[32];
        struct profile_label label = {.key = profile_string(p, "request"),
                                      .text = profile_string(p, t % 2 ? "GET" : "PUT")};
        struct profile_label number = {.key = profile_string(p, "bytes"),
                                       .number = (int64_t)pick(3) * 512 - 512,
                                       .unit = profile_string(p, "bytes")};
        struct profile_sample s = {.stack = stack_of(p, stack),
                                   .thread = thread_of(p, t, name, sizeof(name)),
                                   .labels = profile_labels(p, (struct profile_label[]){label, number}, 2),
                                   .time_ns = i * 10000000ull};
        profile_add_sample(p, &s, values);
        json_object(j);
        json_kstring(j, "thread", name);
        json_ku64(j, "pid", 100 + t / 3);
        json_ku64(j, "tid", 200 + t);
        json_kstring(j, "request", t % 2 ? "GET" : "PUT");
        json_key(j, "bytes");
        json_i64(j, number.number);
        json_key(j, "values");
        json_array(j);
        json_i64(j, values[0]);
        json_i64(j, values[1]);
        json_array_end(j);
        tell_stack(j, stack);
        json_object_end(j);
    }
    json_array_end(j);
}

int main(int argc, char **argv) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    _cleanup_(buf_free) struct buf truth = {0}, bytes = {0};
    struct err err = {0};
    const struct format *format = argc == 4 ? format_by_name(argv[3]) : NULL;
    if (!p || !format) {
        fputs("usage: random_profile SEED plain|odd FILE\n", stderr);
        return 2;
    }
    state = strtoull(argv[1], NULL, 10);
    odd = strcmp(argv[2], "odd") == 0;
    make_names();
    make_places();
    make_stacks();
    profile_value_type(p, "samples", "count");
    p->default_value = profile_value_type(p, "cpu", "nanoseconds");
    p->command = profile_string(p, "server --port 80");
    p->start_time_ns = 1700000000000000000ull;
    p->duration_ns = 4000000000ull;
    p->period_ns = 10101010;
    struct json j = json_to(&truth);
    json_object(&j);
    add_samples(p, &j);
    add_quality(p);
    json_object_end(&j);
    if (format->write(p, &(struct format_options){.show_internal = true}, &bytes, &err) < 0 ||
        file_write(argv[3], bytes.data, bytes.len, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    puts(buf_cstr(&truth));
    return 0;
}
