#include "../unit.h"

#include <errno.h>

#include "../validate.h"
#include "format/format.h"
#include "format/gzip.h"

/* ---- files by hand: each message is (field << 3 | 2), length, bytes ---- */

#define TYPE "\x0a\x04\x08\x01\x10\x02" /* a sample type: strings 1 and 2 */
#define STRINGS                                                                                                        \
    "\x32\x00\x32\x07samples\x32\x05"                                                                                  \
    "count\x32\x04main"
#define FUNCTION "\x2a\x04\x08\x01\x10\x03"         /* function 1: string 3 */
#define LOCATION "\x22\x06\x08\x01\x22\x02\x08\x01" /* location 1: function 1 */
#define SAMPLE "\x12\x06\x0a\x01\x01\x12\x01\x05"   /* location 1, value 5 */

static int read_bytes(const void *data, size_t size, struct profile **ret, struct err *err) {
    return format_by_name("x.pb.gz")->read(data, size, ret, err);
}

#define READ(bytes, ret, err) read_bytes(bytes, sizeof(bytes) - 1, ret, err)

static void a_file_by_hand_is_read(void **state) {
    _cleanup_(profile_freep) struct profile *p = NULL;
    static const char bytes[] = TYPE SAMPLE LOCATION FUNCTION STRINGS;
    assert_true(format_by_name("x.pb.gz")->recognise(bytes, sizeof(bytes) - 1));
    assert_int_equal(READ(bytes, &p, NULL), 0);
    assert_null(profile_validate(p));
    assert_int_equal(p->n_samples, 1);
    assert_int_equal(profile_value(p, 0, 0), 5);
    assert_int_equal(p->quality.samples_taken, 0); /* the file does not tell */
}

static void refused(const void *bytes, size_t size, const char *why) {
    struct profile *p = NULL;
    struct err err = {0};
    assert_int_equal(read_bytes(bytes, size, &p, &err), -EBADMSG);
    assert_null(p);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

#define REFUSED(bytes, why) refused(bytes, sizeof(bytes) - 1, why)

static void sums_of_equal_samples_stay_at_the_end_of_the_range(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new(), *again = NULL;
    _cleanup_(buf_free) struct buf file = {0};
    profile_value_type(p, "space", "bytes");
    profile_add_sample(p, &(struct profile_sample){0}, (int64_t[]){INT64_MAX});
    profile_add_sample(p, &(struct profile_sample){0}, (int64_t[]){2});
    assert_int_equal(format_by_name("x.pb.gz")->write(p, NULL, &file, NULL), 0);
    assert_int_equal(read_bytes(file.data, file.len, &again, NULL), 0);
    assert_int_equal(again->n_samples, 1);
    assert_true(profile_value(again, 0, 0) == INT64_MAX);
}

static void what_is_wrong_is_said(void **state) {
    REFUSED("", "no sample types");
    REFUSED(TYPE SAMPLE LOCATION FUNCTION STRINGS "\x12\x40", "field 2 at byte 52 is cut off");
    REFUSED(TYPE "\x12\x06\x0a\x01\x07\x12\x01\x05" LOCATION FUNCTION STRINGS, "location 7 is named, but is not there");
    REFUSED(TYPE SAMPLE "\x22\x06\x08\x01\x22\x02\x08\x09" FUNCTION STRINGS, "function 9 is named");
    REFUSED(TYPE SAMPLE LOCATION "\x2a\x04\x08\x01\x10\x33" STRINGS, "string 51 is named, but there are only 4");
    REFUSED(TYPE "\x12\x07\x0a\x01\x01\x12\x02\x05\x06" LOCATION FUNCTION STRINGS, "2 values, but there are 1");
    REFUSED("\x1f\x8b\x08", "gzip");
    REFUSED(TYPE "\x10\x05", "field 2 is a number");
}

static void add_varint(struct buf *b, uint64_t v) {
    for (; v > 127; v >>= 7)
        buf_addc(b, (char)(v | 128));
    buf_addc(b, (char)v);
}

static void add_message(struct buf *b, unsigned field, const struct buf *message) {
    add_varint(b, field << 3 | 2);
    add_varint(b, message->len);
    buf_add(b, message->data, message->len);
}

/* A file without its samples yet, and its only location, of 900 lines. */
static void begin_with_many_lines(struct buf *file, struct buf *location) {
    buf_add(file, TYPE, sizeof(TYPE) - 1);
    buf_adds(location, "\x08\x01");
    for (int i = 0; i < 900; i++)
        buf_adds(location, "\x22\x02\x08\x01");
}

static void assert_asks_for_too_many_frames(struct buf *file, const struct buf *location) {
    struct profile *p = NULL;
    struct err err = {0};
    add_message(file, 4, location);
    buf_add(file, FUNCTION STRINGS, sizeof(FUNCTION STRINGS) - 1);
    assert_int_equal(read_bytes(file->data, file->len, &p, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "more frames than a file of this size can tell of"));
}

/* 900 lines in one location that a sample names 20,000 times: 18 million frames in 24 KB. */
static void a_few_bytes_cannot_ask_for_millions_of_frames(void **state) {
    _cleanup_(buf_free) struct buf file = {0}, location = {0}, ids = {0}, sample = {0};
    begin_with_many_lines(&file, &location);
    for (int i = 0; i < 20000; i++)
        buf_addc(&ids, 1);
    add_message(&sample, 1, &ids);
    buf_adds(&sample, "\x12\x01\x05");
    add_message(&file, 2, &sample);
    assert_asks_for_too_many_frames(&file, &location);
}

static void add_sample_of(struct buf *file, size_t first, size_t depth) {
    _cleanup_(buf_free) struct buf ids = {0}, sample = {0};
    for (size_t i = 0; i < depth; i++)
        add_varint(&ids, first + i % 100);
    add_message(&sample, 1, &ids);
    buf_adds(&sample, "\x12\x01\x05");
    add_message(file, 2, &sample);
}

/* 900 lines in one location, and 20,000 samples of it: one stack to hold, but in each thread's tree or turned over
 * they are 18 million. */
static void nor_may_stacks_that_are_shared_ask_for_them(void **state) {
    _cleanup_(buf_free) struct buf file = {0}, location = {0};
    begin_with_many_lines(&file, &location);
    for (int i = 0; i < 20000; i++)
        add_sample_of(&file, 1, 1);
    assert_asks_for_too_many_frames(&file, &location);
}

static void deep_stacks_of_a_real_profile_are_all_read(void **state) {
    enum { SAMPLES = 2000, DEPTH = 4096 };
    _cleanup_(buf_free) struct buf file = {0};
    _cleanup_(profile_freep) struct profile *p = NULL;
    buf_add(&file, TYPE, sizeof(TYPE) - 1);
    for (size_t i = 1; i <= 200; i++) {
        _cleanup_(buf_free) struct buf location = {0};
        buf_addc(&location, 8);
        add_varint(&location, i);
        buf_adds(&location, "\x22\x02\x08\x01\x22\x02\x08\x01\x22\x02\x08\x01"); /* two of three are inlined */
        add_message(&file, 4, &location);
    }
    for (size_t i = 0; i < SAMPLES; i++)
        add_sample_of(&file, 1 + i % 2 * 90, DEPTH - i % 7);
    buf_add(&file, FUNCTION STRINGS, sizeof(FUNCTION STRINGS) - 1);
    assert_int_equal(read_bytes(file.data, file.len, &p, NULL), 0);
    assert_int_equal(p->n_samples, SAMPLES);
}

static void a_bomb_does_not_fill_the_memory(void **state) {
    enum { ZEROS = 16 << 20, LIMIT = 1 << 20 };
    _cleanup_(freep) char *zeros = mem_zalloc(ZEROS, 1);
    _cleanup_(buf_free) struct buf packed = {0}, plain = {0};
    struct err err = {0};
    assert_non_null(zeros);
    assert_int_equal(gzip_compress(zeros, ZEROS, 6, &packed, NULL), 0);
    assert_true(packed.len < ZEROS / 100);
    assert_int_equal(gzip_decompress(packed.data, packed.len, LIMIT, &plain, &err), -EFBIG);
    assert_string_equal(err.text, "The file unpacks to more than 1 MB");
    assert_true(plain.cap < 2 * LIMIT);
}

/* ---- what is written and read again ---- */

/* A chain of 2,000 calls, each with a sample: two million frames when each stack is written out. */
static void stacks_written_out_whole_are_bounded(void **state) {
    static const char *const names[] = {"x.pb.gz", "x.speedscope.json"};
    _cleanup_(profile_freep) struct profile *p = profile_new();
    stack_id s = 0;
    profile_value_type(p, "samples", "count");
    for (uint64_t i = 0; i < 2000; i++) {
        s = profile_stack(p, s, profile_frame(p, &(struct profile_frame){.address = i + 1}));
        profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1});
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_(buf_free) struct buf small = {.limit = 1 << 20}, large = {0};
        struct err err = {0};
        assert_int_equal(format_by_name(names[i])->write(p, NULL, &small, &err), -EFBIG);
        assert_string_equal(err.text, "The stacks, each written out whole, would be larger than 1 MB");
        assert_int_equal(format_by_name(names[i])->write(p, NULL, &large, &err), 0);
    }
}

static frame_id frame_of(struct profile *p, const char *name, const char *kind, uint32_t flags, uint64_t address) {
    function_id f = profile_function(p, &(struct profile_function){.name = profile_string(p, name)});
    return profile_frame(
        p, &(struct profile_frame){.function = f, .kind = profile_string(p, kind), .flags = flags, .address = address});
}

static struct profile *written_and_read(const struct profile *p, bool internal) {
    _cleanup_(buf_free) struct buf out = {0};
    struct profile *again = NULL;
    const struct format *f = format_by_name("x.pb.gz");
    assert_int_equal(f->write(p, &(struct format_options){.show_internal = internal}, &out, NULL), 0);
    assert_int_equal(f->read(out.data, out.len, &again, NULL), 0);
    assert_null(profile_validate(again));
    return again;
}

static const struct profile_frame *leaf(const struct profile *p) {
    return &p->frames[p->stacks[p->samples[0].stack].frame];
}

/* The kernel and a library both have a function of this name and neither has a file. */
static void functions_of_one_name_keep_their_kinds(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    profile_value_type(p, "samples", "count");
    stack_id s = profile_stack(p, 0, frame_of(p, "memcpy", "native", 0, 0x1000));
    s = profile_stack(p, s, frame_of(p, "memcpy", "kernel", FRAME_APPROXIMATE, 0xffff0000));
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1});
    _cleanup_(profile_freep) struct profile *q = written_and_read(p, true);
    assert_string_equal(profile_str(q, leaf(q)->kind), "kernel");
    assert_int_equal(leaf(q)->flags, FRAME_APPROXIMATE);
    const struct profile_frame *caller = &q->frames[q->stacks[q->stacks[q->samples[0].stack].parent].frame];
    assert_string_equal(profile_str(q, caller->kind), "native");
    assert_int_equal(caller->flags, 0);
}

static void folding_what_a_frame_was_inlined_into_does_not_move_it_to_another_address(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    profile_value_type(p, "samples", "count");
    stack_id s = profile_stack(p, 0, frame_of(p, "main", "native", 0, 0x1000));
    s = profile_stack(p, s, frame_of(p, "eval", "native", FRAME_INTERNAL, 0x2000));
    s = profile_stack(p, s, frame_of(p, "add", "native", FRAME_INLINED, 0x2000));
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1});
    _cleanup_(profile_freep) struct profile *folded = written_and_read(p, false), *whole = written_and_read(p, true);
    assert_int_equal(leaf(folded)->address, 0x2000);
    assert_int_equal(depth_of(folded, folded->samples[0].stack), 2);
    assert_int_equal(leaf(whole)->flags, FRAME_INLINED);
    assert_int_equal(depth_of(whole, whole->samples[0].stack), 3);
}

static void no_failed_allocation_goes_unnoticed(void **state) {
    static const char bytes[] = TYPE SAMPLE LOCATION FUNCTION STRINGS;
    for (long n = 0;; n++) {
        _cleanup_(profile_freep) struct profile *p = NULL;
        _cleanup_(buf_free) struct buf out = {0};
        mem_fail_after(n);
        int rc = READ(bytes, &p, NULL);
        if (rc == 0)
            rc = format_by_name("x.pb.gz")->write(p, NULL, &out, NULL);
        mem_fail_after(-1);
        assert_true(rc == 0 || rc == -ENOMEM);
        if (rc == 0)
            break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_by_hand_is_read),
        cmocka_unit_test(sums_of_equal_samples_stay_at_the_end_of_the_range),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_few_bytes_cannot_ask_for_millions_of_frames),
        cmocka_unit_test(nor_may_stacks_that_are_shared_ask_for_them),
        cmocka_unit_test(deep_stacks_of_a_real_profile_are_all_read),
        cmocka_unit_test(a_bomb_does_not_fill_the_memory),
        cmocka_unit_test(stacks_written_out_whole_are_bounded),
        cmocka_unit_test(functions_of_one_name_keep_their_kinds),
        cmocka_unit_test(folding_what_a_frame_was_inlined_into_does_not_move_it_to_another_address),
        cmocka_unit_test(no_failed_allocation_goes_unnoticed),
    };
    return RUN_TESTS(tests);
}
