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
    assert_string_equal(buf_cstr(&out), "main:weird name;fast_[i];sys_read_[k] 2\n");
}

static void internal_frames_and_threads_are_shown_on_request(void **state) {
    _cleanup_(profile_freep) struct profile *p = mixed_profile();
    _cleanup_(buf_free) struct buf out = {0};
    assert_int_equal(folded()->write(p, &(struct format_options){.show_internal = true, .threads = true}, &out, NULL),
                     0);
    assert_non_null(strstr(buf_cstr(&out), "thread w:1 (6);main:weird name;eval;fast_[i];sys_read_[k] 1\n"));
}

static int read_text(const char *text, struct profile **ret, struct err *err) {
    return folded()->read(text, strlen(text), ret, err);
}

static void what_is_written_is_read_again(void **state) {
    _cleanup_(profile_freep) struct profile *p = NULL;
    _cleanup_(buf_free) struct buf out = {0};
    const char *text = "a b;c 2\na b;c;d_[k] 40\nz_[i] 1\n";
    assert_true(folded()->recognise(text, strlen(text)));
    assert_int_equal(read_text(text, &p, NULL), 0);
    assert_int_equal(p->n_samples, 3);
    assert_int_equal(folded()->write(p, NULL, &out, NULL), 0);
    assert_string_equal(buf_cstr(&out), text);
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
    assert_false(folded()->recognise("", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_is_a_line_and_the_count_is_of_samples),
        cmocka_unit_test(internal_frames_and_threads_are_shown_on_request),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(what_is_no_folded_text_is_refused_with_its_line),
    };
    return RUN_TESTS(tests);
}
