#include "../unit.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/reader.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "base/worker.h"

static void arena_returns_zeroed_aligned_memory(void **state) {
    struct arena a = {0};
    for (size_t n = 1; n < 200000; n = n * 3 + 1) {
        unsigned char *p = arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 8, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_free(&a);
}

struct errand {
    int gate[2]; /* the work waits for a byte */
    unsigned done;
};

static void run_errand(void *ctx) {
    struct errand *e = ctx;
    char byte;
    if (read(e->gate[0], &byte, 1) == 1)
        e->done++;
}

static bool readable(int fd, int timeout_ms) {
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, timeout_ms) == 1;
}

static void a_worker_works_while_its_owner_goes_on_and_says_when_it_is_done(void **state) {
    struct errand e = {0};
    struct worker *w;
    assert_int_equal(pipe(e.gate), 0);
    assert_int_equal(worker_new("aside", &w), 0);
    for (unsigned i = 1; i <= 1000; i++) {
        worker_begin(w, run_errand, &e);
        if (i == 1)
            assert_false(readable(worker_done_fd(w), 20));
        assert_false(worker_ended(w));
        assert_int_equal(write(e.gate[1], "x", 1), 1);
        assert_true(readable(worker_done_fd(w), 10000));
        assert_true(worker_ended(w));
        assert_int_equal(e.done, i);
        assert_false(readable(worker_done_fd(w), 0));
    }
    worker_begin(w, run_errand, &e);
    assert_int_equal(write(e.gate[1], "x", 1), 1);
    worker_free(w); /* waits */
    assert_int_equal(e.done, 1001);
    close(e.gate[0]);
    close(e.gate[1]);
}

struct sorted {
    uint64_t key;
    uint32_t number, more[3]; /* 24 bytes; what is last may be left out */
};

static int by_key_and_number(const void *a, const void *b) {
    const struct sorted *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static uint64_t shape(unsigned kind, uint64_t i, size_t count) {
    uint64_t random = hash_mix(kind, i);
    const uint64_t shapes[] = {i,
                               count - i,
                               random,
                               random % 10,
                               random << 40,
                               i ^ 1,
                               7,
                               UINT64_MAX - (random & 0xfff),
                               i * 3 % (count + 1), /* three runs that overlap */
                               i < 3 ? count : i,
                               i + 3 < count ? i : 5}; /* a few in the wrong place */
    return shapes[kind];
}

static void records_are_sorted_as_by_the_c_library_whatever_their_order(void **state) {
    static const size_t counts[] = {0, 1, 2, 100, 5000};
    for (unsigned kind = 0; kind < 11; kind++)
        for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
            struct sorted *ours = mem_zalloc(counts[c] + 1, sizeof(*ours)),
                          *theirs = mem_zalloc(counts[c] + 1, sizeof(*ours));
            for (size_t i = 0; i < counts[c]; i++)
                ours[i] = theirs[i] = (struct sorted){.key = shape(kind, i, counts[c]), .number = (uint32_t)i};
            assert_int_equal(sort_by_key(ours, counts[c], sizeof(*ours)), 0);
            qsort(theirs, counts[c], sizeof(*theirs), by_key_and_number);
            assert_memory_equal(ours, theirs, (counts[c] + 1) * sizeof(*ours));
            free(ours);
            free(theirs);
        }
}

static void records_in_order_need_no_memory_to_be_sorted(void **state) {
    uint64_t keys[] = {1, 2, 2, 900, UINT64_MAX}, back[] = {2, 1};
    mem_fail_after(0);
    assert_int_equal(sort_by_key(keys, ARRAY_SIZE(keys), sizeof(keys[0])), 0);
    assert_int_equal(sort_by_key(back, 2, sizeof(back[0])), -ENOMEM);
    mem_fail_after(-1);
    assert_int_equal(back[0], 2);
    assert_int_equal(sort_by_key(back, 2, sizeof(back[0])), 0);
    assert_int_equal(back[0], 1);
}

static void a_trimmed_buffer_keeps_its_bytes_and_grows_again(void **state) {
    (void)state;
    _cleanup_(buf_free) struct buf b = {0};
    buf_trim(&b);
    assert_null(b.data);
    for (int i = 0; i < 1000; i++)
        buf_addc(&b, (char)('a' + i % 26));
    buf_trim(&b);
    assert_int_equal(b.cap, 1000);
    assert_memory_equal(b.data + 26, "abcdefghijklmnopqrstuvwxyz", 26);
    buf_adds(&b, "end");
    assert_string_equal(buf_cstr(&b) + 1000, "end");
}

static void buffer_stays_failed_past_its_limit(void **state) {
    struct buf b = {.limit = 10};
    buf_adds(&b, "0123456789");
    assert_false(b.failed);
    buf_addc(&b, 'x');
    assert_true(b.failed && b.full);
    assert_int_equal(b.len, 10);
    buf_reset(&b);
    assert_false(b.failed || b.full);
    mem_fail_after(0);
    buf_free(&b);
    buf_adds(&b, "x");
    mem_fail_after(-1);
    assert_true(b.failed && !b.full);
    buf_free(&b);
}

static void maps_keep_what_they_are_given_until_it_is_removed(void **state) {
    struct u64_map m = {0};
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(u64_map_put(&m, i * 4096, i), 0);
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t *v = u64_map_get(&m, i * 4096);
        assert_non_null(v);
        assert_int_equal(*v, i);
        assert_null(u64_map_get(&m, i * 4096 + 1));
    }
    for (uint64_t i = 0; i < 5000; i += 3)
        u64_map_remove(&m, i * 4096);
    u64_map_remove(&m, 7);
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t *v = u64_map_get(&m, i * 4096);
        if (i % 3 == 0) {
            assert_null(v);
        } else {
            assert_non_null(v);
            assert_int_equal(*v, i);
        }
    }
    u64_map_free(&m);
}

/* What the mixing of hash_mix() undoes, as who makes such a file does. */
static uint64_t unmixed(uint64_t h, uint64_t before) {
    uint64_t odd = 0x9E3779B97F4A7C15ull, inverse = odd;
    for (int i = 0; i < 6; i++)
        inverse *= 2 - odd * inverse;
    return (h ^ h >> 29 ^ h >> 58) * inverse ^ before * 0xFF51AFD7ED558CCDull;
}

static void keys_made_to_collide_do_not(void **state) {
    struct u64_map m = {0};
    clock_t began = clock();
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(u64_map_put(&m, unmixed((i & 0x1ffff) | i >> 17 << 46, 0), i), 0);
    assert_int_equal(m.count, 100000);
    assert_true(clock() - began < 2 * CLOCKS_PER_SEC); /* seconds when each looks at all before it */
    u64_map_free(&m);
}

static bool counted_equal(const void *ctx, uint32_t id) {
    ++*(size_t *)(uintptr_t)ctx;
    return false;
}

static void texts_made_to_collide_do_not(void **state) {
    struct hash_index ix = {0};
    size_t compared = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t odd = 0xFF51AFD7ED558CCDull, inverse = odd;
        for (int k = 0; k < 6; k++)
            inverse *= 2 - odd * inverse;
        uint64_t text = unmixed(unmixed(i, 0) * inverse, 0xCBF29CE484222325ull ^ sizeof(text));
        assert_int_equal(hash_lasting(&text, sizeof(text)) >> 32, 0);
        uint64_t hash = hash_bytes(&text, sizeof(text));
        assert_int_equal(hash_index_find(&ix, hash, counted_equal, &compared), UINT32_MAX);
        assert_int_equal(hash_index_add(&ix, hash, i), 0);
    }
    assert_true(compared < 10);
    hash_index_free(&ix);
}

static void reader_never_passes_its_end(void **state) {
    const uint8_t bytes[] = {0x80, 0x80, 0x80};
    struct reader r = reader_of(bytes, sizeof(bytes));
    assert_int_equal(reader_uleb(&r), 0);
    assert_true(r.failed);
    r = reader_of(bytes, 2);
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    assert_string_equal(reader_cstr(&r), "");
}

static void leb128_agrees_with_the_dwarf_standard(void **state) {
    /* The examples of DWARF 5, figures 22 and 23. */
    const struct {
        uint8_t bytes[2];
        uint64_t u;
        int64_t s;
    } cases[] = {
        {{0x02}, 2, 2},    {{0xff, 0x00}, 127, 127},    {{0x80, 0x01}, 128, 128}, {{0xb9, 0x64}, 12857, -3527},
        {{0x7e}, 126, -2}, {{0x81, 0x7f}, 16257, -127},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct reader r = reader_of(cases[i].bytes, 2);
        assert_int_equal(reader_uleb(&r), cases[i].u);
        r = reader_of(cases[i].bytes, 2);
        assert_int_equal(reader_sleb(&r), cases[i].s);
    }
}

static void json_escapes_what_could_break_a_consumer(void **state) {
    struct buf b = {0};
    struct json j = json_to(&b);
    json_object(&j);
    json_kstring(&j, "a\"", "x</script>\x01\xff\xc3\xa9\x7f\xc2\x9b\xc2\xa0");
    json_kstring(&j, "b", "\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8d\xd8\x9c\xef\xbb\xbf");
    json_kdouble(&j, "d", 0.25);
    json_key(&j, "l");
    json_array(&j);
    json_u64(&j, 1);
    json_i64(&j, -2);
    json_array_end(&j);
    json_object_end(&j);
    assert_string_equal(
        buf_cstr(&b),
        "{\"a\\\"\":\"x<\\u002fscript>\\u0001\xef\xbf\xbd\xc3\xa9\\u007f\\u009b\xc2\xa0\",\"b\":\"\\u202e\\u2066\xe2\x80\x8d\\u061c\\ufeff\",\"d\":0.25,\"l\":[1,-2]}");
    buf_free(&b);
}

static size_t put_letter(uint32_t c, unsigned char *s) {
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
    const unsigned char leads[] = {0, 0, 0xc0, 0xe0};
    for (size_t i = n; i-- > 1; c >>= 6)
        s[i] = (unsigned char)(0x80 | (c & 63));
    s[0] = (unsigned char)(leads[n] | c);
    s[n] = 0;
    return n;
}

static void what_steers_a_terminal_is_known(void **state) {
    static const struct {
        uint32_t from, to;
    } steer[] = {{1, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},  {0x200e, 0x200f},
                 {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}};
    for (uint32_t c = 1; c < 0xd800; c++) {
        uint32_t letter = c < 0xd7ff ? c : 0xfeff;
        unsigned char s[4];
        size_t n = put_letter(letter, s), steers = 0;
        for (size_t i = 0; i < ARRAY_SIZE(steer); i++)
            steers |= letter >= steer[i].from && letter <= steer[i].to ? n : 0;
        assert_int_equal(utf8_length(s), n);
        assert_int_equal(utf8_code_point(s, n), letter);
        assert_int_equal(utf8_steers(s), steers);
    }
    assert_int_equal(utf8_steers((const unsigned char *)""), 0);
}

static void a_file_is_written_whole_or_not_at_all(void **state) {
    char dir[] = "/tmp/scry-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    snprintf(path, sizeof(path), "%s/out", dir);
    struct err err = {0};
    assert_int_equal(file_write(path, "hello", 5, &err), 0);
    struct buf b = {0};
    assert_int_equal(file_read(path, 100, &b, &err), 0);
    assert_int_equal(b.len, 5);
    assert_int_equal(file_read(path, 4, &b, &err), -EFBIG);
    assert_int_equal(file_write("/dev/full", "x", 1, &err), -ENOSPC);
    assert_non_null(strstr(err.advice, "space"));
    assert_int_equal(file_write("/nonexistent/x", "x", 1, &err), -ENOENT);
    assert_int_equal(file_check_writable("/nonexistent/x", &err), -ENOENT);
    assert_int_equal(file_check_writable(dir, &err), -EISDIR);
    assert_int_equal(file_check_writable("/dev/null", &err), 0);
    assert_int_equal(file_check_writable(path, &err), 0);
    buf_free(&b);
    unlink(path);
    rmdir(dir);
}

static void a_new_file_takes_the_place_of_no_other(void **state) {
    char dir[] = "/tmp/scry-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char a[64], b[64], none[] = "/nonexistent/XXXXXX";
    snprintf(a, sizeof(a), "%s/x-XXXXXX.txt", dir);
    strcpy(b, a);
    struct err err = {0};
    struct buf got = {0};
    struct stat st;
    mode_t mask = umask(027);
    assert_int_equal(file_write_new(a, 4, "first", 5, false, &err), 0);
    assert_int_equal(file_write_new(b, 4, "second", 6, true, &err), 0);
    umask(mask);
    assert_string_not_equal(a, b);
    assert_string_equal(a + strlen(a) - 4, ".txt");
    assert_int_equal(file_read(a, 100, &got, &err), 0);
    assert_string_equal(buf_cstr(&got), "first");
    assert_int_equal(stat(a, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(stat(b, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_write_unless_there(a, "third", 5, &err), -EEXIST);
    assert_int_equal(file_read(a, 100, &got, &err), 0);
    assert_string_equal(buf_cstr(&got), "first");
    unlink(b);
    assert_int_equal(file_write_unless_there(b, "third", 5, &err), 0);
    assert_int_equal(file_write_new(none, 0, "x", 1, false, &err), -ENOENT);
    buf_free(&got);
    unlink(a);
    unlink(b);
    assert_int_equal(rmdir(dir), 0);
}

static mode_t mode_after_writing(const char *path, mode_t before, uid_t owner) {
    struct stat st;
    assert_int_equal(chown(path, owner, (gid_t)-1), 0); /* takes the bits away that chmod() gives */
    assert_int_equal(chmod(path, before), 0);
    assert_int_equal(file_write(path, "x", 1, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, geteuid());
    return st.st_mode & 07777;
}

static void what_others_allowed_for_their_file_is_not_allowed_for_ours(void **state) {
    char path[] = "/tmp/scry-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    mode_t mask = umask(022);
    assert_int_equal(mode_after_writing(path, 0600, geteuid()), 0600);
    assert_int_equal(mode_after_writing(path, 06755, geteuid()), 0755);
    if (geteuid() == 0)
        assert_int_equal(mode_after_writing(path, 06777, 65534), 0644);
    umask(mask);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_returns_zeroed_aligned_memory),
        cmocka_unit_test(a_worker_works_while_its_owner_goes_on_and_says_when_it_is_done),
        cmocka_unit_test(a_new_file_takes_the_place_of_no_other),
        cmocka_unit_test(what_others_allowed_for_their_file_is_not_allowed_for_ours),
        cmocka_unit_test(records_are_sorted_as_by_the_c_library_whatever_their_order),
        cmocka_unit_test(records_in_order_need_no_memory_to_be_sorted),
        cmocka_unit_test(buffer_stays_failed_past_its_limit),
        cmocka_unit_test(a_trimmed_buffer_keeps_its_bytes_and_grows_again),
        cmocka_unit_test(maps_keep_what_they_are_given_until_it_is_removed),
        cmocka_unit_test(keys_made_to_collide_do_not),
        cmocka_unit_test(texts_made_to_collide_do_not),
        cmocka_unit_test(reader_never_passes_its_end),
        cmocka_unit_test(leb128_agrees_with_the_dwarf_standard),
        cmocka_unit_test(json_escapes_what_could_break_a_consumer),
        cmocka_unit_test(what_steers_a_terminal_is_known),
        cmocka_unit_test(a_file_is_written_whole_or_not_at_all),
    };
    return RUN_TESTS(tests);
}
