#include "../unit.h"

#include "format/format.h"

extern const struct format format_svg;

static const char evil[] = "</title><script>alert(1)</script>&\"\xff";

/* Every string of a profile is somebody else's: the command, names, files, kinds, types and units. */
static struct profile *evil_profile(void) {
    struct profile *p = profile_new();
    assert_non_null(p);
    string_id text = profile_string(p, evil);
    p->command = text;
    profile_value_type(p, evil, evil);
    function_id f = profile_function(p, &(struct profile_function){.name = text, .file = text});
    stack_id s = profile_stack(p, 0, profile_frame(p, &(struct profile_frame){.function = f, .kind = text}));
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){2});
    return p;
}

static void no_string_of_a_profile_reaches_the_markup(void **state) {
    _cleanup_(profile_freep) struct profile *p = evil_profile();
    _cleanup_(buf_free) struct buf picture = {0};
    assert_int_equal(format_svg.write(p, &(struct format_options){0}, &picture, NULL), 0);
    const char *text = buf_cstr(&picture);
    assert_non_null(strstr(text, "2 &lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;\xef\xbf\xbd\n"));
    assert_null(strstr(text, "<script>alert(1)"));
    assert_null(strchr(text, '\xff'));
}

static void add_function(struct profile *p, const char *name, int64_t value) {
    function_id f = profile_function(p, &(struct profile_function){.name = profile_string(p, name)});
    stack_id s = profile_stack(p, 0, profile_frame(p, &(struct profile_frame){.function = f}));
    profile_add_sample(p, &(struct profile_sample){.stack = s}, &value);
}

/* Widths of 31, 38 and 44 pixels: of room for 3, 4 and 5 letters. */
static void a_label_that_is_cut_says_so(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    _cleanup_(buf_free) struct buf picture = {0};
    assert_non_null(p);
    profile_value_type(p, "samples", "count");
    add_function(p, "the_rest", 1180 - 31 - 31 - 38 - 44);
    add_function(p, "fibonacci", 31);
    add_function(p, "fib", 31);
    add_function(p, "harmonic", 38);
    add_function(p, "prime_numbers", 44);
    assert_int_equal(format_svg.write(p, &(struct format_options){0}, &picture, NULL), 0);
    const char *text = buf_cstr(&picture);
    assert_non_null(strstr(text, ">f..</text>"));
    assert_non_null(strstr(text, ">fib</text>"));
    assert_non_null(strstr(text, ">ha..</text>"));
    assert_non_null(strstr(text, ">pri..</text>"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_that_is_cut_says_so),
        cmocka_unit_test(no_string_of_a_profile_reaches_the_markup),
    };
    return RUN_TESTS(tests);
}
