/* Reading pprof: hostile bytes. Messages may come in any order, so the tables are collected first and samples are
 * resolved at the end. What is collected are slices of the input; nothing is trusted to exist or to be small. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "format/gzip.h"
#include "format/pprof.h"
#include "format/pprof_read.h"
#include "format/pprof_write.h"

enum { MAX_UNPACKED = 1 << 30, MAX_LOCATIONS = 1 << 20, MAX_LINES = 1024 };

/* A few bytes can name a location of many lines many times. Real files have fewer than two frames for each byte; a
 * recursion through much that is inlined has the most. */
enum { FRAMES_PER_BYTE = 8, FRAMES_ALWAYS = 1 << 20 };

void pprof_bad(struct pprof_reader *r, const char *fmt, ...) {
    char what[300];
    va_list args;
    if (r->bad)
        return;
    r->bad = true;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    err_set(r->err, -EBADMSG, "The file may be damaged, or be no profile at all: write it anew",
            "It is not a valid pprof profile: %s", what);
}

/* ---- protobuf ---- */

bool pprof_next_field(struct pprof_reader *r, struct reader *in, struct field *ret) {
    if (in->failed || reader_left(in) == 0)
        return false;
    const uint8_t *start = in->pos;
    uint64_t tag = reader_uleb(in);
    *ret = (struct field){.number = (unsigned)(tag >> 3), .wire = tag & 7};
    switch (ret->wire) {
    case WIRE_VARINT:
        ret->value = reader_uleb(in);
        break;
    case WIRE_64:
        ret->value = reader_u64(in);
        break;
    case WIRE_BYTES:
        ret->bytes.size = reader_uleb(in);
        ret->bytes.data = reader_bytes(in, ret->bytes.size);
        break;
    case WIRE_32:
        ret->value = reader_u32(in);
        break;
    default:
        in->failed = true;
    }
    if (in->failed)
        pprof_bad(r, "field %u at byte %zu is cut off or of no known type", ret->number, (size_t)(start - r->start));
    return !in->failed;
}

static void keep(struct pprof_reader *r, struct slices *list, struct slice s) {
    if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(s)) < 0)
        r->nomem = true;
    else
        list->all[list->count++] = s;
}

static string_id string_at(struct pprof_reader *r, uint64_t index) {
    if (index >= r->strings.count) {
        if (index)
            pprof_bad(r, "string %" PRIu64 " is named, but there are only %zu", index, r->strings.count);
        return 0;
    }
    if (!r->string_ids[index] && r->strings.all[index].size)
        r->string_ids[index] =
            profile_string_n(r->p, (const char *)r->strings.all[index].data, r->strings.all[index].size);
    return r->string_ids[index];
}

static void map_id(struct pprof_reader *r, struct u64_map *m, uint64_t id, uint64_t value) {
    if (u64_map_put(m, id, value) < 0)
        r->nomem = true;
}

/* ---- first pass ---- */

static void add_comment(struct pprof_reader *r, uint64_t index) {
    if (mem_grow((void **)&r->comments, &r->cap_comments, r->n_comments + 1, sizeof(*r->comments)) < 0)
        r->nomem = true;
    else
        r->comments[r->n_comments++] = index;
}

/* Repeated numbers come packed or one by one. */
static void collect_comments(struct pprof_reader *r, const struct field *f) {
    struct reader packed = reader_of_slice(f->bytes);
    if (f->wire == WIRE_VARINT)
        add_comment(r, f->value);
    while (reader_left(&packed) && !packed.failed)
        add_comment(r, reader_uleb(&packed));
}

/* Times are signed in the schema; what is less than nothing is not known. */
static uint64_t not_negative(uint64_t value) {
    return value <= INT64_MAX ? value : 0;
}

static void collect_field(struct pprof_reader *r, const struct field *f) {
    struct slices *const lists[] = {
        [PROFILE_SAMPLE_TYPE] = &r->sample_types, [PROFILE_SAMPLE] = &r->samples,
        [PROFILE_MAPPING] = &r->mappings,         [PROFILE_LOCATION] = &r->locations,
        [PROFILE_FUNCTION] = &r->functions,       [PROFILE_STRING_TABLE] = &r->strings,
    };
    if (f->number < ARRAY_SIZE(lists) && lists[f->number]) {
        if (f->wire == WIRE_BYTES)
            keep(r, lists[f->number], f->bytes);
        else
            pprof_bad(r, "field %u is a number", f->number);
        return;
    }
    switch (f->number) {
    case PROFILE_TIME_NANOS:
        r->p->start_time_ns = not_negative(f->value);
        break;
    case PROFILE_DURATION_NANOS:
        r->p->duration_ns = not_negative(f->value);
        break;
    case PROFILE_PERIOD:
        r->period = not_negative(f->value);
        break;
    case PROFILE_PERIOD_TYPE:
        r->period_type = f->bytes;
        break;
    case PROFILE_DEFAULT_SAMPLE_TYPE:
        r->default_type = f->value;
        break;
    case PROFILE_COMMENT:
        collect_comments(r, f);
        break;
    default:
        break;
    }
}

static void collect(struct pprof_reader *r, struct reader in) {
    struct field f;
    while (pprof_next_field(r, &in, &f) && !r->bad && !r->nomem)
        collect_field(r, &f);
}

/* ---- value types ---- */

struct value_type {
    string_id type, unit;
};

static struct value_type read_value_type(struct pprof_reader *r, struct slice s, uint64_t *ret_type) {
    struct reader in = reader_of_slice(s);
    struct field f;
    struct value_type v = {0};
    uint64_t type = 0;
    while (pprof_next_field(r, &in, &f)) {
        if (f.number == VALUE_TYPE)
            v.type = string_at(r, type = f.value);
        if (f.number == VALUE_UNIT)
            v.unit = string_at(r, f.value);
    }
    if (ret_type)
        *ret_type = type;
    return v;
}

static void read_sample_types(struct pprof_reader *r) {
    if (r->sample_types.count == 0)
        pprof_bad(r, "it has no sample types");
    for (size_t i = 0; i < r->sample_types.count && !r->bad; i++) {
        uint64_t type;
        struct value_type v = read_value_type(r, r->sample_types.all[i], &type);
        if (i == PROFILE_MAX_VALUE_TYPES) {
            profile_note(r->p, "The file has %zu values for each sample; the first %d were read", r->sample_types.count,
                         PROFILE_MAX_VALUE_TYPES);
            return;
        }
        unsigned at = profile_value_type(r->p, profile_str(r->p, v.type), profile_str(r->p, v.unit));
        if (r->default_type ? type == r->default_type : i + 1 == r->sample_types.count)
            r->p->default_value = at;
    }
}

/* Only a period of time is one for us: a heap profile has one of bytes. */
static void read_period(struct pprof_reader *r) {
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"nanoseconds", 1}, {"microseconds", 1000}, {"milliseconds", 1000000}, {"seconds", 1000000000}};
    const char *unit = profile_str(r->p, read_value_type(r, r->period_type, NULL).unit);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strcmp(units[i].unit, unit) == 0 && r->period < UINT64_MAX / units[i].ns)
            r->p->period_ns = r->period * units[i].ns;
}

/* ---- tables ---- */

static void read_mapping(struct pprof_reader *r, struct reader in) {
    struct profile_mapping m = {0};
    struct field f;
    uint64_t id = 0;
    while (pprof_next_field(r, &in, &f)) {
        switch (f.number) {
        case MAPPING_ID:
            id = f.value;
            break;
        case MAPPING_START:
            m.start = f.value;
            break;
        case MAPPING_LIMIT:
            m.limit = f.value;
            break;
        case MAPPING_OFFSET:
            m.offset = f.value;
            break;
        case MAPPING_FILENAME:
            m.file = string_at(r, f.value);
            break;
        case MAPPING_BUILD_ID:
            m.build_id = string_at(r, f.value);
            break;
        default:
            break;
        }
    }
    map_id(r, &r->mapping_ids, id, profile_mapping(r->p, &m));
}

static void read_function(struct pprof_reader *r, struct reader in, struct read_function *ret) {
    struct profile_function fn = {0};
    struct field f;
    uint64_t id = 0;
    while (pprof_next_field(r, &in, &f)) {
        if (f.number == FUNCTION_ID)
            id = f.value;
        else if (f.number == FUNCTION_NAME)
            fn.name = string_at(r, f.value);
        else if (f.number == FUNCTION_SYSTEM_NAME)
            fn.system_name = string_at(r, f.value);
        else if (f.number == FUNCTION_FILENAME)
            fn.file = string_at(r, f.value);
        else if (f.number == FUNCTION_START_LINE)
            fn.start_line = (uint32_t)f.value;
    }
    if (!fn.name)
        fn.name = fn.system_name;
    if (fn.system_name == fn.name)
        fn.system_name = 0;
    ret->function = profile_function(r->p, &fn);
    ret->id = id;
    map_id(r, &r->function_ids, id, (uint64_t)(ret - r->read_functions));
}

static void read_location_id(struct pprof_reader *r, size_t index) {
    struct reader in = reader_of_slice(r->locations.all[index]);
    struct field f;
    while (pprof_next_field(r, &in, &f))
        if (f.number == LOCATION_ID)
            map_id(r, &r->location_ids, f.value, index);
}

static void read_tables(struct pprof_reader *r) {
    r->read_functions = mem_zalloc(r->functions.count, sizeof(*r->read_functions));
    if (!r->read_functions) {
        r->nomem = true;
        return;
    }
    for (size_t i = 0; i < r->mappings.count && !r->bad; i++)
        read_mapping(r, reader_of_slice(r->mappings.all[i]));
    for (size_t i = 0; i < r->functions.count && !r->bad; i++)
        read_function(r, reader_of_slice(r->functions.all[i]), &r->read_functions[i]);
    for (size_t i = 0; i < r->locations.count && !r->bad; i++)
        read_location_id(r, i);
}

/* Comments are not kept as strings of the profile. They may name one long string again and again: together they are
 * read up to the size of the file. */
static void read_comments(struct pprof_reader *r) {
    enum { MOST_COMMENTS = 10000 };
    size_t left = r->size;
    for (size_t i = 0; i < r->n_comments && i < MOST_COMMENTS && !r->bad && !r->nomem; i++) {
        if (r->comments[i] >= r->strings.count) {
            pprof_bad(r, "a comment is string %" PRIu64 ", but there are only %zu", r->comments[i], r->strings.count);
            return;
        }
        struct slice s = r->strings.all[r->comments[i]];
        if (s.size > left)
            return;
        left -= s.size;
        _cleanup_(freep) char *text = mem_strndup(s.data ? (const char *)s.data : "", s.size);
        if (text)
            pprof_read_comment(r, text);
        else
            r->nomem = true;
    }
}

static void check_quality(struct pprof_reader *r) {
    profile_check_quality(r->p);
}

/* ---- locations become frames at first use: frames of each are cached, leaf first ---- */

struct location_frames {
    uint32_t first, count;
    bool read;
};

struct frame_cache {
    struct location_frames *of; /* by location slice */
    frame_id *frames;
    size_t n_frames, cap_frames;
};

static frame_id read_line(struct pprof_reader *r, struct slice line, mapping_id mapping, uint64_t address) {
    struct reader in = reader_of_slice(line);
    struct field f;
    struct profile_frame frame = {.mapping = mapping, .address = address};
    uint64_t id = 0;
    while (pprof_next_field(r, &in, &f)) {
        if (f.number == LINE_FUNCTION_ID)
            id = f.value;
        else if (f.number == LINE_LINE)
            frame.line = (uint32_t)f.value;
        else if (f.number == LINE_COLUMN)
            frame.column = (uint32_t)f.value;
    }
    const uint64_t *known = u64_map_get(&r->function_ids, id);
    if (!known) {
        pprof_bad(r, "function %" PRIu64 " is named, but is not there", id);
        return 0;
    }
    const struct read_function *fn = &r->read_functions[*known];
    frame.function = fn->function;
    frame.kind = r->kinds_known ? fn->kind : pprof_guess_kind(r, fn->function, mapping);
    frame.flags = fn->flags;
    return profile_frame(r->p, &frame);
}

static frame_id unnamed_location(struct pprof_reader *r, mapping_id mapping, uint64_t address) {
    char text[32];
    snprintf(text, sizeof(text), "[0x%" PRIx64 "]", address);
    struct profile_function fn = {.name = profile_string(r->p, text)};
    return profile_frame(r->p, &(struct profile_frame){.function = profile_function(r->p, &fn),
                                                       .kind = pprof_guess_kind(r, 0, mapping),
                                                       .mapping = mapping,
                                                       .address = address,
                                                       .flags = FRAME_UNNAMED});
}

static void add_cached(struct pprof_reader *r, struct frame_cache *c, frame_id frame) {
    if (c->n_frames >= UINT32_MAX - 1 ||
        mem_grow((void **)&c->frames, &c->cap_frames, c->n_frames + 1, sizeof(frame)) < 0)
        r->nomem = true;
    else
        c->frames[c->n_frames++] = frame;
}

/* All but the last line of a location were inlined into the next. */
static void mark_inlined(struct pprof_reader *r, struct frame_cache *c, struct location_frames l) {
    for (uint32_t i = 0; i + 1 < l.count && !r->nomem; i++) {
        struct profile_frame frame = r->p->frames[c->frames[l.first + i]];
        frame.flags |= FRAME_INLINED;
        c->frames[l.first + i] = profile_frame(r->p, &frame);
    }
}

static struct location_frames read_location(struct pprof_reader *r, struct frame_cache *c, size_t index) {
    struct location_frames *l = &c->of[index];
    if (l->read)
        return *l;
    *l = (struct location_frames){.first = (uint32_t)c->n_frames, .read = true};
    struct reader in = reader_of_slice(r->locations.all[index]), again = in;
    struct field f;
    mapping_id mapping = 0;
    uint64_t address = 0, *known;
    while (pprof_next_field(r, &in, &f)) {
        if (f.number == LOCATION_MAPPING_ID && (known = u64_map_get(&r->mapping_ids, f.value)))
            mapping = (mapping_id)*known;
        else if (f.number == LOCATION_ADDRESS)
            address = f.value;
    }
    while (pprof_next_field(r, &again, &f) && !r->bad && !r->nomem)
        if (f.number == LOCATION_LINE && f.wire == WIRE_BYTES)
            add_cached(r, c, read_line(r, f.bytes, mapping, address));
    if (c->n_frames == l->first)
        add_cached(r, c, unnamed_location(r, mapping, address));
    l->count = (uint32_t)(c->n_frames - l->first);
    if (l->count > MAX_LINES)
        pprof_bad(r, "a location has %u lines", l->count);
    mark_inlined(r, c, *l);
    return *l;
}

/* ---- samples ---- */

struct sample_parts {
    uint64_t *locations; /* leaf first */
    size_t n_locations, cap_locations;
    int64_t values[PROFILE_MAX_VALUE_TYPES];
    size_t n_values;
    struct profile_thread thread;
    struct profile_label labels[PROFILE_MAX_LABELS + 1];
    unsigned n_labels;
    /* The stack of the sample before, root first: much of it is often this one's too. */
    struct level {
        uint64_t location;
        stack_id stack;
        uint32_t frames; /* from the root on */
    } * before;
    size_t n_before, cap_before;
};

/* Labels that say which thread a sample is of, as the writer spells them. */
static bool is_thread_label(const char *key, const struct profile_label *l, struct profile_thread *t) {
    const struct {
        const char *key;
        string_id *text;
        uint32_t *number;
    } known[] = {{"process", &t->process_name, NULL},
                 {"thread", &t->thread_name, NULL},
                 {"runtime", &t->runtime, NULL},
                 {"container", &t->container, NULL},
                 {"pid", NULL, &t->pid},
                 {"tid", NULL, &t->tid}};
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(known[i].key, key) != 0 || (known[i].text != NULL) != (l->text != 0) ||
            (known[i].number && (l->number < 0 || l->number > UINT32_MAX)))
            continue;
        if (known[i].text)
            *known[i].text = l->text;
        if (known[i].number)
            *known[i].number = (uint32_t)l->number;
        return true;
    }
    return false;
}

static void read_label(struct pprof_reader *r, struct reader in, struct sample_parts *s) {
    struct profile_label l = {0};
    struct field f;
    while (pprof_next_field(r, &in, &f)) {
        if (f.number == LABEL_KEY)
            l.key = string_at(r, f.value);
        else if (f.number == LABEL_STR)
            l.text = string_at(r, f.value);
        else if (f.number == LABEL_NUM)
            l.number = (int64_t)f.value;
        else if (f.number == LABEL_NUM_UNIT)
            l.unit = string_at(r, f.value);
    }
    /* One too many is kept, so that the model sees it, drops it and says so. */
    if (!is_thread_label(profile_str(r->p, l.key), &l, &s->thread) && s->n_labels <= PROFILE_MAX_LABELS)
        s->labels[s->n_labels++] = l;
}

static void add_location(struct pprof_reader *r, struct sample_parts *s, uint64_t id) {
    if (s->n_locations >= MAX_LOCATIONS)
        pprof_bad(r, "a sample has more than %d locations", MAX_LOCATIONS);
    else if (mem_grow((void **)&s->locations, &s->cap_locations, s->n_locations + 1, sizeof(id)) < 0)
        r->nomem = true;
    else
        s->locations[s->n_locations++] = id;
}

static void add_value(struct pprof_reader *r, struct sample_parts *s, uint64_t v) {
    if (s->n_values < r->p->n_value_types)
        s->values[s->n_values] = (int64_t)v;
    s->n_values++;
}

/* Repeated numbers come packed or one by one. */
static void read_locations(struct pprof_reader *r, const struct field *f, struct reader *packed,
                           struct sample_parts *s) {
    if (f->wire == WIRE_VARINT)
        add_location(r, s, f->value);
    while (reader_left(packed) && !packed->failed && !r->bad && !r->nomem)
        add_location(r, s, reader_uleb(packed));
}

static void read_values(struct pprof_reader *r, const struct field *f, struct reader *packed, struct sample_parts *s) {
    if (f->wire == WIRE_VARINT)
        add_value(r, s, f->value);
    while (reader_left(packed) && !packed->failed)
        add_value(r, s, reader_uleb(packed));
}

static void read_sample_fields(struct pprof_reader *r, struct reader in, struct sample_parts *s) {
    struct field f;
    while (pprof_next_field(r, &in, &f) && !r->bad && !r->nomem) {
        struct reader packed = reader_of_slice(f.bytes);
        if (f.number == SAMPLE_LABEL) {
            read_label(r, packed, s);
        } else if (f.number == SAMPLE_LOCATION_ID) {
            read_locations(r, &f, &packed, s);
        } else if (f.number == SAMPLE_VALUE) {
            read_values(r, &f, &packed, s);
        }
        if (packed.failed)
            pprof_bad(r, "a list of numbers in a sample is cut off");
    }
}

/* Whether shared with another stack or not: whoever turns stacks over or keeps threads apart has each of them again. */
static bool charge_frames(struct pprof_reader *r, size_t frames) {
    if (frames > r->frames_left)
        pprof_bad(r, "its stacks have more frames than a file of this size can tell of");
    r->frames_left -= MIN(r->frames_left, frames);
    return !r->bad;
}

static struct level push_location(struct pprof_reader *r, struct frame_cache *c, struct level below, uint64_t id) {
    const uint64_t *index = u64_map_get(&r->location_ids, id);
    if (!index) {
        pprof_bad(r, "location %" PRIu64 " is named, but is not there", id);
        return (struct level){0};
    }
    struct location_frames l = read_location(r, c, (size_t)*index);
    struct level at = {.location = id, .stack = below.stack, .frames = below.frames + l.count};
    if (!charge_frames(r, l.count))
        return at;
    for (uint32_t k = l.count; k-- > 0 && !r->bad && !r->nomem;)
        at.stack = profile_stack(r->p, at.stack, c->frames[l.first + k]); // NOLINT(clang-analyzer-core.NullDereference)
    return at;
}

/* The sample's stack: what it shares with the sample before is not looked up again. */
static stack_id read_stack(struct pprof_reader *r, struct frame_cache *c, struct sample_parts *s) {
    size_t n = s->n_locations, shared = 0;
    struct level at = {0};
    if (mem_grow((void **)&s->before, &s->cap_before, n, sizeof(*s->before)) < 0) {
        r->nomem = true;
        return 0;
    }
    while (shared < n && shared < s->n_before && s->before[shared].location == s->locations[n - 1 - shared])
        at = s->before[shared++];
    charge_frames(r, at.frames);
    for (size_t i = shared; i < n && !r->bad && !r->nomem; i++)
        s->before[i] = at = push_location(r, c, at, s->locations[n - 1 - i]);
    s->n_before = n;
    return at.stack;
}

static void add_sample(struct pprof_reader *r, struct frame_cache *c, struct sample_parts *s) {
    stack_id stack = read_stack(r, c, s);
    if (s->n_values != r->sample_types.count)
        pprof_bad(r, "a sample has %zu values, but there are %zu sample types", s->n_values, r->sample_types.count);
    if (r->bad || r->nomem)
        return;
    profile_add_sample(r->p,
                       &(struct profile_sample){.stack = stack,
                                                .thread = profile_thread(r->p, &s->thread),
                                                .labels = profile_labels(r->p, s->labels, s->n_labels)},
                       s->values);
}

static void read_samples(struct pprof_reader *r) {
    struct frame_cache c = {.of = mem_zalloc(r->locations.count, sizeof(struct location_frames))};
    struct sample_parts s = {0};
    r->nomem |= !c.of;
    for (size_t i = 0; i < r->samples.count && !r->bad && !r->nomem; i++) {
        s.n_locations = s.n_values = s.n_labels = 0;
        s.thread = (struct profile_thread){0};
        read_sample_fields(r, reader_of_slice(r->samples.all[i]), &s);
        if (!r->bad && !r->nomem)
            add_sample(r, &c, &s);
    }
    free(c.of);
    free(c.frames);
    free(s.locations);
    free(s.before);
}

/* ---- the whole ---- */

static void reader_free(struct pprof_reader *r) {
    free(r->strings.all);
    free(r->samples.all);
    free(r->mappings.all);
    free(r->locations.all);
    free(r->functions.all);
    free(r->sample_types.all);
    free(r->string_ids);
    free(r->comments);
    free(r->read_functions);
    u64_map_free(&r->mapping_ids);
    u64_map_free(&r->function_ids);
    u64_map_free(&r->location_ids);
    profile_free(r->p);
}

static void read_parts(struct pprof_reader *r, struct reader in) {
    void (*const steps[])(struct pprof_reader *) = {read_sample_types, read_period,   read_tables,
                                                    read_comments,     check_quality, read_samples};
    collect(r, in);
    r->string_ids = mem_zalloc(r->strings.count, sizeof(*r->string_ids));
    r->nomem |= !r->string_ids;
    for (size_t i = 0; i < ARRAY_SIZE(steps) && !r->bad && !r->nomem; i++)
        steps[i](r);
}

static int read_plain(const void *data, size_t size, struct profile **ret, struct err *err) {
    _cleanup_(reader_free) struct pprof_reader r = {
        .p = profile_new(),
        .start = data,
        .size = size,
        .frames_left = FRAMES_ALWAYS + size * FRAMES_PER_BYTE,
        .err = err,
    };
    if (!r.p)
        return err_nomem(err);
    read_parts(&r, reader_of(data, size));
    if (r.nomem || r.p->profile_failed)
        return err_nomem(err);
    if (r.bad)
        return -EBADMSG;
    *ret = TAKE_PTR(r.p);
    return 0;
}

int pprof_read(const void *data, size_t size, struct profile **ret, struct err *err) {
    if (!gzip_recognise(data, size))
        return read_plain(data, size, ret, err);
    _cleanup_(buf_free) struct buf plain = {0};
    int rc = gzip_decompress(data, size, MAX_UNPACKED, &plain, err);
    return rc < 0 ? rc : read_plain(plain.data, plain.len, ret, err);
}

/* gzip, or what writers put first: a sample type. */
bool pprof_recognise(const void *data, size_t size) {
    const uint8_t *p = data;
    if (gzip_recognise(data, size))
        return true;
    if (size < 4 || p[0] != (PROFILE_SAMPLE_TYPE << 3 | WIRE_BYTES) || p[1] >= 24 || p[1] + 2u > size)
        return false;
    return p[1] == 0 || p[2] == VALUE_TYPE << 3 || p[2] == VALUE_UNIT << 3;
}
