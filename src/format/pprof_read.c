/* Reading pprof: hostile bytes. Messages may come in any order, so the tables are collected first and
 * samples are resolved at the end. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/reader.h"
#include "format/format.h"
#include "format/gzip.h"
#include "format/pprof.h"
#include "format/pprof_write.h"

enum { MAX_UNPACKED = 1 << 30, MAX_FRAMES_PER_SAMPLE = 1 << 20 };

struct slice {
    const uint8_t *data;
    size_t size;
};

struct slices {
    struct slice *all;
    size_t count, capacity;
};

struct pprof_reader {
    struct profile *p;
    struct slices strings, samples, mappings, locations, functions, sample_types;
    struct u64_map mapping_ids, function_ids, location_ids; /* pprof id → ours (for locations: slice) */
    string_id *string_ids;                                  /* interned at first use; 0 = not yet */
    uint64_t *comments;
    size_t n_comments, cap_comments;
    uint64_t default_type;
    uint32_t *kinds; /* by function id: kind string; flags in function_flags */
    uint8_t *function_flags;
    bool bad, nomem;
};

/* ---- protobuf ---- */

struct field {
    unsigned number, wire;
    uint64_t value;     /* varint or fixed */
    struct slice bytes; /* length-delimited */
};

static bool next_field(struct reader *r, struct field *ret) {
    if (r->failed || reader_left(r) == 0)
        return false;
    uint64_t tag = reader_uleb(r);
    *ret = (struct field){.number = (unsigned)(tag >> 3), .wire = tag & 7};
    switch (ret->wire) {
    case 0:
        ret->value = reader_uleb(r);
        break;
    case 1:
        ret->value = reader_u64(r);
        break;
    case 2:
        ret->bytes.size = reader_uleb(r);
        ret->bytes.data = reader_bytes(r, ret->bytes.size);
        break;
    case 5:
        ret->value = reader_u32(r);
        break;
    default:
        r->failed = true;
    }
    return !r->failed;
}

static struct reader reader_of_slice(struct slice s) {
    return reader_of(s.data, s.data ? s.size : 0);
}

static void keep(struct pprof_reader *r, struct slices *list, struct slice s) {
    if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(s)) < 0)
        r->nomem = true;
    else
        list->all[list->count++] = s;
}

static string_id string_at(struct pprof_reader *r, uint64_t index) {
    if (index >= r->strings.count) {
        r->bad |= index != 0;
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

static void collect(struct pprof_reader *r, struct reader in) {
    struct field f;
    while (next_field(&in, &f)) {
        switch (f.number) {
        case PROFILE_SAMPLE_TYPE:
            keep(r, &r->sample_types, f.bytes);
            break;
        case PROFILE_SAMPLE:
            keep(r, &r->samples, f.bytes);
            break;
        case PROFILE_MAPPING:
            keep(r, &r->mappings, f.bytes);
            break;
        case PROFILE_LOCATION:
            keep(r, &r->locations, f.bytes);
            break;
        case PROFILE_FUNCTION:
            keep(r, &r->functions, f.bytes);
            break;
        case PROFILE_STRING_TABLE:
            keep(r, &r->strings, f.bytes);
            break;
        case PROFILE_TIME_NANOS:
            r->p->start_time_ns = f.value;
            break;
        case PROFILE_DURATION_NANOS:
            r->p->duration_ns = f.value;
            break;
        case PROFILE_PERIOD:
            r->p->period_ns = f.value;
            break;
        case PROFILE_DEFAULT_SAMPLE_TYPE:
            r->default_type = f.value;
            break;
        case PROFILE_COMMENT:
            if (mem_grow((void **)&r->comments, &r->cap_comments, r->n_comments + 1, sizeof(*r->comments)) < 0)
                r->nomem = true;
            else
                r->comments[r->n_comments++] = f.value;
            break;
        default:
            break;
        }
    }
    r->bad |= in.failed;
}

/* ---- tables ---- */

static void read_sample_types(struct pprof_reader *r) {
    for (size_t i = 0; i < r->sample_types.count; i++) {
        struct reader in = reader_of_slice(r->sample_types.all[i]);
        struct field f;
        uint64_t type = 0, unit = 0;
        while (next_field(&in, &f)) {
            if (f.number == VALUE_TYPE)
                type = f.value;
            if (f.number == VALUE_UNIT)
                unit = f.value;
        }
        r->bad |= in.failed || r->p->n_value_types == PROFILE_MAX_VALUE_TYPES;
        if (r->bad)
            return;
        unsigned v =
            profile_value_type(r->p, profile_str(r->p, string_at(r, type)), profile_str(r->p, string_at(r, unit)));
        if (r->default_type ? type == r->default_type : i + 1 == r->sample_types.count)
            r->p->default_value = v;
    }
    r->bad |= r->sample_types.count == 0;
}

static void read_mapping(struct pprof_reader *r, struct reader in) {
    struct profile_mapping m = {0};
    struct field f;
    uint64_t id = 0;
    while (next_field(&in, &f)) {
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
    r->bad |= in.failed;
    map_id(r, &r->mapping_ids, id, profile_mapping(r->p, &m));
}

static void read_function(struct pprof_reader *r, struct reader in, size_t index) {
    struct profile_function fn = {0};
    struct field f;
    uint64_t id = 0;
    while (next_field(&in, &f)) {
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
    if (fn.system_name == fn.name)
        fn.system_name = 0;
    r->bad |= in.failed;
    map_id(r, &r->function_ids, id, (uint64_t)profile_function(r->p, &fn) << 32 | (uint32_t)index);
}

static void read_tables(struct pprof_reader *r) {
    for (size_t i = 0; i < r->mappings.count; i++)
        read_mapping(r, reader_of_slice(r->mappings.all[i]));
    for (size_t i = 0; i < r->functions.count; i++)
        read_function(r, reader_of_slice(r->functions.all[i]), i);
    for (size_t i = 0; i < r->locations.count; i++) {
        struct reader in = reader_of_slice(r->locations.all[i]);
        struct field f;
        while (next_field(&in, &f))
            if (f.number == LOCATION_ID)
                map_id(r, &r->location_ids, f.value, i);
        r->bad |= in.failed;
    }
}

/* ---- comments of scry's own ---- */

static void read_kind(struct pprof_reader *r, const char *text) {
    char kind[64];
    unsigned flags;
    int at = 0;
    if (sscanf(text, "%63s %u%n", kind, &flags, &at) != 2)
        return;
    string_id name = profile_string(r->p, kind);
    for (const char *p = text + at;;) {
        char *end;
        uint64_t id = strtoull(p, &end, 10);
        if (end == p)
            return;
        p = end;
        uint64_t *known = u64_map_get(&r->function_ids, id);
        if (!known || (uint32_t)*known >= r->functions.count)
            continue;
        r->kinds[(uint32_t)*known] = name;
        r->function_flags[(uint32_t)*known] = (uint8_t)flags;
    }
}

static void read_comment(struct pprof_reader *r, const char *text) {
    static const char prefix[] = PPROF_COMMENT;
    struct profile_quality *q = &r->p->quality;
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return;
    text += sizeof(prefix) - 1;
    const char *value = strchr(text, ' ');
    size_t n = value ? (size_t)(value - text) : 0;
    if (!value)
        return;
    value++;
#define QUALITY(field)                                                                                                 \
    if (n == strlen(#field) && strncmp(text, #field, n) == 0)                                                          \
        q->field = strtoull(value, NULL, 10);
#include "format/quality.def"
#undef QUALITY
    if (strncmp(text, "command ", 8) == 0)
        r->p->command = profile_string(r->p, value);
    else if (strncmp(text, "host ", 5) == 0)
        r->p->host = profile_string(r->p, value);
    else if (strncmp(text, "slowdown_bound ", 15) == 0)
        q->slowdown_bound = strtod(value, NULL);
    else if (strncmp(text, "note ", 5) == 0)
        profile_note(r->p, "%s", value);
    else if (strncmp(text, "kind ", 5) == 0)
        read_kind(r, value);
    else if (strncmp(text, "truncated ", 10) == 0 && strchr(value, ' '))
        profile_count_truncated(r->p, strchr(value, ' ') + 1, strtoull(value, NULL, 10));
}

static void read_comments(struct pprof_reader *r) {
    r->kinds = mem_zalloc(r->functions.count, sizeof(*r->kinds));
    r->function_flags = mem_zalloc(r->functions.count, 1);
    if (!r->kinds || !r->function_flags) {
        r->nomem = true;
        return;
    }
    for (size_t i = 0; i < r->n_comments; i++)
        read_comment(r, profile_str(r->p, string_at(r, r->comments[i])));
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
    uint64_t *fn = NULL;
    while (next_field(&in, &f)) {
        if (f.number == LINE_FUNCTION_ID)
            fn = u64_map_get(&r->function_ids, f.value);
        else if (f.number == LINE_LINE)
            frame.line = (uint32_t)f.value;
        else if (f.number == LINE_COLUMN)
            frame.column = (uint32_t)f.value;
    }
    r->bad |= in.failed || !fn;
    if (r->bad)
        return 0;
    frame.function = (function_id)(*fn >> 32);
    frame.kind = r->kinds[(uint32_t)*fn];
    frame.flags = r->function_flags[(uint32_t)*fn];
    return profile_frame(r->p, &frame);
}

static frame_id unnamed_location(struct pprof_reader *r, mapping_id mapping, uint64_t address) {
    char text[32];
    snprintf(text, sizeof(text), "[0x%" PRIx64 "]", address);
    struct profile_function fn = {.name = profile_string(r->p, text)};
    return profile_frame(r->p, &(struct profile_frame){.function = profile_function(r->p, &fn),
                                                       .mapping = mapping,
                                                       .address = address,
                                                       .flags = FRAME_UNNAMED});
}

static void add_cached(struct pprof_reader *r, struct frame_cache *c, frame_id frame) {
    if (mem_grow((void **)&c->frames, &c->cap_frames, c->n_frames + 1, sizeof(frame)) < 0)
        r->nomem = true;
    else
        c->frames[c->n_frames++] = frame;
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
    while (next_field(&in, &f)) {
        if (f.number == LOCATION_MAPPING_ID && (known = u64_map_get(&r->mapping_ids, f.value)))
            mapping = (mapping_id)*known;
        else if (f.number == LOCATION_ADDRESS)
            address = f.value;
    }
    while (next_field(&again, &f) && !r->bad && !r->nomem)
        if (f.number == LOCATION_LINE && f.wire == 2)
            add_cached(r, c, read_line(r, f.bytes, mapping, address));
    if (c->n_frames == l->first)
        add_cached(r, c, unnamed_location(r, mapping, address));
    l->count = (uint32_t)(c->n_frames - l->first);
    /* All but the last line of a location were inlined into the next. */
    for (uint32_t i = 0; i + 1 < l->count && !r->nomem; i++) {
        struct profile_frame frame = r->p->frames[c->frames[l->first + i]];
        frame.flags |= FRAME_INLINED;
        c->frames[l->first + i] = profile_frame(r->p, &frame);
    }
    return *l;
}

/* ---- samples ---- */

struct sample_parts {
    uint64_t *locations; /* leaf first */
    size_t n_locations, cap_locations;
    int64_t values[PROFILE_MAX_VALUE_TYPES];
    unsigned n_values;
    struct profile_thread thread;
    struct profile_label labels[PROFILE_MAX_LABELS];
    unsigned n_labels;
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
        if (strcmp(known[i].key, key) != 0 || (known[i].text != NULL) != (l->text != 0))
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
    while (next_field(&in, &f)) {
        if (f.number == LABEL_KEY)
            l.key = string_at(r, f.value);
        else if (f.number == LABEL_STR)
            l.text = string_at(r, f.value);
        else if (f.number == LABEL_NUM)
            l.number = (int64_t)f.value;
        else if (f.number == LABEL_NUM_UNIT)
            l.unit = string_at(r, f.value);
    }
    r->bad |= in.failed;
    if (!is_thread_label(profile_str(r->p, l.key), &l, &s->thread) && s->n_labels < PROFILE_MAX_LABELS)
        s->labels[s->n_labels++] = l;
}

static void add_location(struct pprof_reader *r, struct sample_parts *s, uint64_t id) {
    if (s->n_locations >= MAX_FRAMES_PER_SAMPLE)
        r->bad = true;
    else if (mem_grow((void **)&s->locations, &s->cap_locations, s->n_locations + 1, sizeof(id)) < 0)
        r->nomem = true;
    else
        s->locations[s->n_locations++] = id;
}

static void add_value(struct sample_parts *s, uint64_t v) {
    if (s->n_values < PROFILE_MAX_VALUE_TYPES)
        s->values[s->n_values++] = (int64_t)v;
}

/* Repeated numbers come packed or one by one. */
static void read_sample_fields(struct pprof_reader *r, struct reader in, struct sample_parts *s) {
    struct field f;
    while (next_field(&in, &f) && !r->bad) {
        struct reader packed = reader_of_slice(f.bytes);
        if (f.number == SAMPLE_LABEL) {
            read_label(r, packed, s);
        } else if (f.number == SAMPLE_LOCATION_ID) {
            if (f.wire == 0)
                add_location(r, s, f.value);
            while (reader_left(&packed) && !packed.failed)
                add_location(r, s, reader_uleb(&packed));
        } else if (f.number == SAMPLE_VALUE) {
            if (f.wire == 0)
                add_value(s, f.value);
            while (reader_left(&packed) && !packed.failed)
                add_value(s, reader_uleb(&packed));
        }
        r->bad |= packed.failed;
    }
    r->bad |= in.failed;
}

static void add_sample(struct pprof_reader *r, struct frame_cache *c, struct sample_parts *s) {
    stack_id stack = 0;
    for (size_t i = s->n_locations; i-- > 0 && !r->bad && !r->nomem;) {
        uint64_t *index = u64_map_get(&r->location_ids, s->locations[i]);
        if (!index) {
            r->bad = true;
            return;
        }
        struct location_frames l = read_location(r, c, (size_t)*index);
        for (uint32_t k = c->frames ? l.count : 0; k-- > 0;)
            stack = profile_stack(r->p, stack, c->frames[l.first + k]);
    }
    r->bad |= s->n_values != r->p->n_value_types;
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
        if (!r->bad)
            add_sample(r, &c, &s);
    }
    free(c.of);
    free(c.frames);
    free(s.locations);
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
    free(r->kinds);
    free(r->function_flags);
    u64_map_free(&r->mapping_ids);
    u64_map_free(&r->function_ids);
    u64_map_free(&r->location_ids);
    profile_free(r->p);
}

static int read_plain(const void *data, size_t size, struct profile **ret, struct err *err) {
    _cleanup_(reader_free) struct pprof_reader r = {.p = profile_new()};
    if (!r.p)
        return err_nomem(err);
    collect(&r, reader_of(data, size));
    r.string_ids = mem_zalloc(r.strings.count, sizeof(*r.string_ids));
    if (!r.string_ids || r.nomem)
        return err_nomem(err);
    if (!r.bad)
        read_sample_types(&r);
    if (!r.bad)
        read_tables(&r);
    if (!r.bad)
        read_comments(&r);
    if (!r.bad && !r.nomem)
        read_samples(&r);
    if (r.nomem || r.p->profile_failed)
        return err_nomem(err);
    if (r.bad)
        return err_set(err, -EBADMSG, "The file may be damaged or no profile at all",
                       "The file is not a valid pprof profile");
    if (!r.p->quality.samples_taken)
        r.p->quality.samples_taken = r.p->n_samples;
    *ret = TAKE_PTR(r.p);
    return 0;
}

int pprof_read(const void *data, size_t size, struct profile **ret, struct err *err) {
    if (!gzip_recognise(data, size))
        return read_plain(data, size, ret, err);
    struct buf plain = {0};
    int rc = gzip_decompress(data, size, MAX_UNPACKED, &plain, err);
    if (rc == 0)
        rc = read_plain(plain.data, plain.len, ret, err);
    buf_free(&plain);
    return rc;
}

/* gzip, or a first field that a profile can begin with: a sample type. */
bool pprof_recognise(const void *data, size_t size) {
    const uint8_t *p = data;
    return gzip_recognise(data, size) || (size > 2 && p[0] == (PROFILE_SAMPLE_TYPE << 3 | 2) && p[1] < 16);
}
