#include "../unit.h"

#include <errno.h>

#include "format/format.h"

static const struct format *folded(void) {
    return format_by_name("some.folded");
}

static stack_id push(struct profile *p, stack_id parent, const char *name, const char *kind, uint32_t flags) {
    function_id f = profile_function(p, &(struct profile_function){.name = profile_string(p, name)});
    return profile_stack(
        p, parent,
        profile_frame(p, &(struct profile_frame){.function = f, .kind = profile_string(p, kind), .flags = flags}));
}

static struct profile *mixed_profile(void) {
    struct profile *p = profile_new();
    assert_non_null(p);
    profile_value_type(p, "cpu", "nanoseconds");
    profile_value_type(p, "samples", "count");
    thread_id t =
        profile_thread(p, &(struct profile_thread){.pid = 5, .tid = 6, .thread_name = profile_string(p, "w;1")});
    stack_id s = push(p, 0, "main;weird\nname", "native", 0);
    s = push(p, s, "eval", "native", FRAME_INTERNAL);
    s = push(p, s, "fast", "native", FRAME_INLINED);
    s = push(p, s, "sys_read", "kernel", 0);
    profile_add_sample(p, &(struct profile_sample){.stack = s, .thread = t}, (int64_t[]){1000, 1});
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1000, 1});
    return p;
}

static void a_stack_is_a_line_and_the_count_is_of_samples(void **state) {
    _cleanup_(profile_freep) struct profile *p = mixed_profile();
    _cleanup_(buf_free) struct buf out = {0};
    assert_int_equal(folded()->write(p, NULL, &out, NULL), 0);
    assert_string_equal(buf_cstr(&out), "main:weird name;fast;sys_read 2\n");
}

static void internal_frames_and_threads_are_shown_on_request(void **state) {
    _cleanup_(profile_freep) struct profile *p = mixed_profile();
    _cleanup_(buf_free) struct buf out = {0};
    assert_int_equal(folded()->write(p, &(struct format_options){.show_internal = true, .threads = true}, &out, NULL),
                     0);
    assert_non_null(strstr(buf_cstr(&out), "thread w:1 (6);main:weird name;eval;fast;sys_read 1\n"));
}

static int read_text(const char *text, struct profile **ret, struct err *err) {
    return folded()->read(text, strlen(text), ret, err);
}

static void what_is_written_is_read_again(void **state) {
    _cleanup_(profile_freep) struct profile *p = NULL;
    _cleanup_(buf_free) struct buf out = {0};
    const char *text = "a b;c 2\na b;c;d 40\nz 1\n";
    assert_true(folded()->recognise(text, strlen(text)));
    assert_int_equal(read_text(text, &p, NULL), 0);
    assert_int_equal(p->n_samples, 3);
    assert_int_equal(folded()->write(p, NULL, &out, NULL), 0);
    assert_string_equal(buf_cstr(&out), text);
}

/* Each line, read alone and after the others, is the same stack. */
static void lines_that_begin_alike_are_still_read_by_themselves(void **state) {
    static const char *const stacks[] = {"a",  "a;b",  "a;b;c",  "a;b",     "a;bc",  "a;bc;d",
                                         "ab", "ab;b", "a;b;cd", "a;;b",    "a;;",   "a;;b;c",
                                         ";a", ";a;b", "a",      "a_[k];b", "a_[k]", "a_[k];b;c"};
    _cleanup_(buf_free) struct buf all = {0};
    _cleanup_(profile_freep) struct profile *p = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(stacks); i++)
        buf_addf(&all, "%s%s %zu\n", i == 5 ? "# remark\n\n" : "", stacks[i], i + 1);
    assert_int_equal(read_text(buf_cstr(&all), &p, NULL), 0);
    assert_int_equal(p->n_samples, ARRAY_SIZE(stacks));
    for (size_t i = 0; i < ARRAY_SIZE(stacks); i++) {
        _cleanup_(profile_freep) struct profile *alone = NULL;
        char line[64];
        snprintf(line, sizeof(line), "%s 1\n", stacks[i]);
        assert_int_equal(read_text(line, &alone, NULL), 0);
        stack_id a = p->samples[i].stack, b = alone->samples[0].stack;
        for (; a && b; a = p->stacks[a].parent, b = alone->stacks[b].parent) {
            const struct profile_frame *x = &p->frames[p->stacks[a].frame], *y = &alone->frames[alone->stacks[b].frame];
            assert_string_equal(profile_str(p, p->functions[x->function].name),
                                profile_str(alone, alone->functions[y->function].name));
            assert_string_equal(profile_str(p, x->kind), profile_str(alone, y->kind));
        }
        assert_true(!a && !b);
    }
}

static const char *kind_of_leaf(const struct profile *p, size_t sample) {
    return profile_str(p, p->frames[p->stacks[p->samples[sample].stack].frame].kind);
}

static void marks_remarks_line_ends_and_fractions_are_understood(void **state) {
    _cleanup_(profile_freep) struct profile *p = NULL;
    assert_int_equal(
        read_text("# made by hand\r\nmain;read_[k] 3\r\nmain;fast_[i] 4\r\n\r\nmain\t2.5\nmain 0.49", &p, NULL), 0);
    assert_int_equal(p->n_samples, 4);
    assert_string_equal(kind_of_leaf(p, 0), "kernel");
    assert_string_equal(profile_str(p, p->functions[p->frames[p->stacks[p->samples[0].stack].frame].function].name),
                        "read");
    assert_int_equal(p->frames[p->stacks[p->samples[1].stack].frame].flags, FRAME_INLINED);
    assert_int_equal(profile_value(p, 2, 0), 3);
    assert_int_equal(profile_value(p, 3, 0), 0);
    assert_int_equal(p->quality.n_notes, 1);
}

static void samples_without_a_stack_are_not_lost(void **state) {
    _cleanup_(profile_freep) struct profile *p = mixed_profile();
    _cleanup_(buf_free) struct buf out = {0};
    profile_add_sample(p, &(struct profile_sample){0}, (int64_t[]){1000, 5});
    assert_int_equal(folded()->write(p, NULL, &out, NULL), 0);
    assert_non_null(strstr(buf_cstr(&out), "[no stack] 5\n"));
}

/* Sums stay within what is read again, and what is below zero has no place in the format. */
static void counts_are_written_as_they_can_be_read(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new(), *again = NULL;
    _cleanup_(buf_free) struct buf out = {0};
    profile_value_type(p, "samples", "count");
    stack_id most = push(p, 0, "most", "native", 0), less = push(p, 0, "less", "native", 0);
    stack_id both = push(p, 0, "both", "native", 0);
    for (int i = 0; i < 2; i++) {
        profile_add_sample(p, &(struct profile_sample){.stack = most}, (int64_t[]){INT64_MAX});
        profile_add_sample(p, &(struct profile_sample){.stack = less}, (int64_t[]){INT64_MIN});
    }
    profile_add_sample(p, &(struct profile_sample){.stack = both}, (int64_t[]){-3});
    profile_add_sample(p, &(struct profile_sample){.stack = both}, (int64_t[]){5});
    assert_int_equal(folded()->write(p, NULL, &out, NULL), 0);
    assert_string_equal(buf_cstr(&out), "# 3 values below zero are left out: folded stacks have none\n"
                                        "both 5\nmost 99999999999999999\n");
    assert_true(folded()->recognise(out.data, out.len));
    assert_int_equal(read_text(buf_cstr(&out), &again, NULL), 0);
    assert_int_equal(again->n_samples, 2);
}

static void no_small_profile_asks_for_gigabytes_of_text(void **state) {
    enum { NAME = 100000, DEPTH = 20000 };
    _cleanup_(profile_freep) struct profile *p = profile_new();
    _cleanup_(freep) char *name = mem_zalloc(NAME + 1, 1);
    _cleanup_(buf_free) struct buf out = {0};
    struct err err = {0};
    stack_id s = 0;
    profile_value_type(p, "samples", "count");
    memset(name, 'x', NAME);
    for (int i = 0; i < DEPTH; i++)
        s = push(p, s, name, "native", 0);
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1});
    assert_int_equal(folded()->write(p, NULL, &out, &err), -EFBIG);
    assert_string_equal(err.text, "The folded stacks would be larger than 1024 MB");
    assert_true(out.cap < 1 << 20);
}

static void what_is_no_folded_text_is_refused_with_its_line(void **state) {
    _cleanup_(profile_freep) struct profile *p = NULL;
    struct err err = {0};
    assert_int_equal(read_text("a;b 1\nno count\n", &p, &err), -EBADMSG);
    assert_string_equal(err.text, "Line 2 has no count");
    assert_int_equal(read_text("a 999999999999999999999\n", &p, &err), -EBADMSG);
    assert_int_equal(read_text("", &p, &err), -EBADMSG);
    assert_int_equal(folded()->read("a\0b 1\n", 6, &p, &err), -EBADMSG);
    assert_null(p);
    assert_false(folded()->recognise("{\"a\": 1}\n", 9));
    assert_false(folded()->recognise("{\"a;\": 1", 9));
    assert_false(folded()->recognise("", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_is_a_line_and_the_count_is_of_samples),
        cmocka_unit_test(internal_frames_and_threads_are_shown_on_request),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(lines_that_begin_alike_are_still_read_by_themselves),
        cmocka_unit_test(marks_remarks_line_ends_and_fractions_are_understood),
        cmocka_unit_test(samples_without_a_stack_are_not_lost),
        cmocka_unit_test(counts_are_written_as_they_can_be_read),
        cmocka_unit_test(no_small_profile_asks_for_gigabytes_of_text),
        cmocka_unit_test(what_is_no_folded_text_is_refused_with_its_line),
    };
    return RUN_TESTS(tests);
}
