#include "../unit.h"

#include <errno.h>
#include <zlib.h>

#include "format/format.h"

extern const struct format format_html;

static const char evil[] = "</script><script>alert(1)</script>";

static struct profile *small_profile(void) {
    struct profile *p = profile_new();
    if (!p)
        return NULL;
    profile_value_type(p, "samples", "count");
    p->command = profile_string(p, evil);
    stack_id s = 0;
    for (uint64_t i = 0; i < 3; i++) {
        function_id f =
            profile_function(p, &(struct profile_function){.name = profile_string(p, evil), .start_line = 7});
        s = profile_stack(p, s, profile_frame(p, &(struct profile_frame){.function = f, .line = 9, .address = 64 + i}));
    }
    profile_add_sample(p, &(struct profile_sample){.stack = s, .time_ns = 5}, (int64_t[]){2});
    profile_count_truncated(p, evil, 1);
    return p;
}

static unsigned sextet(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);
    assert_non_null(at);
    return (unsigned)(at - digits);
}

/* The data block of a page, by zlib and a decoder of our own; returns its size. */
static size_t unpack(struct buf *page, unsigned char *block, size_t size) {
    static const char open_tag[] = "<script type=\"text/plain\" id=\"scry-profile\">";
    static unsigned char packed[1 << 16];
    const char *at = strstr(buf_cstr(page), open_tag);
    assert_non_null(at);
    size_t n = 0;
    uint32_t bits = 0, held = 0;
    for (at += strlen(open_tag); *at != '<' && *at != '='; at++) {
        bits = bits << 6 | sextet(*at);
        if ((held += 6) >= 8)
            packed[n++] = (unsigned char)(bits >> (held -= 8));
        assert_true(n < sizeof(packed));
    }
    z_stream z = {.next_in = packed, .avail_in = (uInt)n, .next_out = block, .avail_out = (uInt)size};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    return z.total_out;
}

static void a_page_holds_its_profile_where_no_name_can_reach_the_markup(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(buf_free) struct buf page = {0};
    assert_int_equal(format_html.write(p, &(struct format_options){0}, &page, NULL), 0);
    assert_null(strstr(buf_cstr(&page), "alert(1)"));
    unsigned char block[1 << 16];
    size_t n = unpack(&page, block, sizeof(block) - 1);
    block[n] = '\0';
    assert_memory_equal(block, "scryweb1", 8);
    assert_non_null(strstr((char *)block + 12, "alert(1)"));
    assert_non_null(
        strstr((char *)block + 12, "\"verdict\":{\"grade\":\"poor\",\"sentence\":\"The data is poor: there are few"));
    /* The sample's columns are last: one row each, all equal: stack 3, thread 0, time 0, value 2,
     * zigzag. Frames that differ by address only are one frame, so three stacks share it. */
    const unsigned char columns[] = {1, 0, 6, 1, 0, 0, 1, 0, 0, 1, 0, 4};
    assert_memory_equal(block + n - sizeof(columns), columns, sizeof(columns));
}

static void a_profile_without_samples_is_a_page(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    _cleanup_(buf_free) struct buf page = {0};
    assert_int_equal(format_html.write(p, &(struct format_options){0}, &page, NULL), 0);
    unsigned char block[1 << 12];
    assert_true(unpack(&page, block, sizeof(block)) > 100);
}

static void no_failed_allocation_goes_unnoticed(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(buf_free) struct buf whole = {0};
    mem_fail_after(-1);
    assert_int_equal(format_html.write(p, &(struct format_options){0}, &whole, NULL), 0);
    long n = mem_fail_after(-1);
    for (long i = 0; i < n; i++) {
        _cleanup_(buf_free) struct buf page = {0};
        struct err err = {0};
        mem_fail_after(i);
        int r = format_html.write(p, &(struct format_options){0}, &page, &err);
        mem_fail_after(-1);
        assert_int_equal(r, -ENOMEM);
    }
    assert_true(n > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_holds_its_profile_where_no_name_can_reach_the_markup),
        cmocka_unit_test(a_profile_without_samples_is_a_page),
        cmocka_unit_test(no_failed_allocation_goes_unnoticed),
    };
    return RUN_TESTS(tests);
}
