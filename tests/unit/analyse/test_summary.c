#include "../unit.h"

#include <errno.h>
#include <math.h>

#include "analyse/summary.h"
#include "analyse/text.h"

/* ---- words in columns ---- */

static void columns_are(const char *text, size_t columns) {
    assert_int_equal(text_columns(text), columns);
}

static void letters_are_as_wide_as_terminals_show_them(void **state) {
    columns_are("", 0);
    columns_are("name", 4);
    columns_are("caf\xc3\xa9", 4);
    columns_are("cafe\xcc\x81", 4);             /* a combining accent */
    columns_are("\xe6\x97\xa5\xe6\x9c\xac", 4); /* two letters of two columns */
    columns_are("\xf0\x9f\x94\xa5", 2);         /* an emoji */
    columns_are("\xff\xfe", 2);                 /* each is shown as one U+FFFD */
    columns_are("\x1b[31m", 5);                 /* a control character is shown as one ? */
}

static void added(const char *text, size_t room, const char *wanted) {
    _cleanup_(buf_free) struct buf out = {0};
    size_t used = text_add(&out, text, room);
    assert_string_equal(buf_cstr(&out), wanted);
    assert_int_equal(used, text_columns(wanted));
    assert_true(used <= room);
}

static void a_long_name_loses_its_middle(void **state) {
    added("short", 10, "short");
    added("a_very_long_function_name", 12, "a_ver...name");
    added("a_very_long_function_name", 11, "a_ve...name");
    added("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 9, "\xe6\x97\xa5...\xe8\xaa\x9e");
    added("abcdef", 2, "ab");
    added("abcdef", 0, "");
    char huge[20000] = "begin";
    memset(huge + 5, '-', sizeof(huge) - 6);
    memcpy(huge + sizeof(huge) - 4, "end", 4);
    added(huge, 13, "begin...--end");
    for (size_t i = 5; i + 6 < sizeof(huge) - 6; i += 2)
        memcpy(huge + i, "\xc3\xa9", 2);
    added(huge, 13, "begin...--end");
}

static void names_cannot_steer_the_terminal(void **state) {
    added("a\x1b[2Jb\nc\x7f", 20, "a?[2Jb?c?");
    added("\xc2\x9b"
          "31m",
          20, "?31m"); /* CSI as one character */
    added("\xe2\x80\xae"
          "cba",
          20, "?cba"); /* right-to-left override */
    added("a\xe2\x80\x8f"
          "b\xd8\x9c"
          "c",
          20, "a?b?c"); /* marks of direction */
    added("x\xffy", 20, "x\xef\xbf\xbdy");
    added("\x1b[0m\xff", TEXT_WHOLE, "?[0m\xef\xbf\xbd");
}

static void padding_is_by_columns(void **state) {
    _cleanup_(buf_free) struct buf out = {0};
    text_add_padded(&out, "\xe6\x97\xa5", 5);
    buf_addc(&out, '|');
    assert_string_equal(buf_cstr(&out), "\xe6\x97\xa5   |");
    buf_reset(&out);
    text_add_padded(&out, "\xe6\x97\xa5\xe6\x97\xa5", 3); /* half of a letter does not fit */
    text_add_padded(&out, "0123456789abcdef\x1b", 12);
    buf_addc(&out, '|');
    assert_string_equal(buf_cstr(&out), "\xe6\x97\xa5 0123456789ab|");
}

/* ---- the verdict ---- */

static struct profile *profile_of(int64_t samples) {
    struct profile *p = profile_new();
    assert_non_null(p);
    profile_value_type(p, "samples", "count");
    profile_add_sample(p, &(struct profile_sample){0}, &samples);
    p->quality.samples_taken = p->quality.stacks_whole = (uint64_t)samples;
    return p;
}

static void the_margin_is_wilsons_interval(void **state) {
    /* Worked by hand: 1.96 / (1 + 3.8416 / n) * sqrt(p (1 - p) / n + 3.8416 / (4 n n)). */
    assert_true(fabs(analyse_margin(0.5, 2000) - 0.0219) < 0.0001);
    assert_true(fabs(analyse_margin(0.05, 2000) - 0.0096) < 0.0001);
    assert_true(fabs(analyse_margin(0, 100) - 0.0185) < 0.0001);
    assert_true(analyse_margin(0.3, 0) >= 1);
}

static void good_data_is_called_good_with_its_margin(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_of(2000);
    struct analyse_verdict v;
    analyse_verdict(p, &v);
    assert_int_equal(v.grade, GRADE_GOOD);
    assert_int_equal(v.n_concerns, 0);
    assert_string_equal(v.sentence, "The data is good: shares are within \xc2\xb1"
                                    "2.2 points");
}

/* Adds a stack of two frames, outer to inner. */
static void add_stack(struct profile *p, frame_id outer, frame_id inner, int64_t samples) {
    stack_id s = profile_stack(p, profile_stack(p, 0, outer), inner);
    profile_add_sample(p, &(struct profile_sample){.stack = s}, &samples);
    p->quality.samples_taken += (uint64_t)samples;
    p->quality.stacks_whole += (uint64_t)samples;
}

static frame_id frame_in(struct profile *p, const char *name, const char *file, unsigned flags) {
    struct profile_function f = {.name = profile_string(p, name)};
    mapping_id m = profile_mapping(p, &(struct profile_mapping){.file = profile_string(p, file)});
    return profile_frame(p, &(struct profile_frame){.function = profile_function(p, &f), .mapping = m, .flags = flags});
}

static void advice_on_generated_code_is_of_its_runtime(void **state) {
    static const char *const names[] = {"[generated code]", "[libx.so]"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_(profile_freep) struct profile *p = profile_of(0);
        add_stack(p, frame_in(p, "main", "/bin/x", 0), frame_in(p, names[i], "/lib/libx.so", FRAME_UNNAMED), 5000);
        struct analyse_verdict v;
        analyse_verdict(p, &v);
        assert_int_equal(v.n_concerns, 1);
        assert_int_equal(strstr(v.concerns[0].advice, "perf map") != NULL, i == 0);
        assert_int_equal(strcmp(v.concerns[0].advice, "Install the debug symbols of libx.so") == 0, i == 1);
    }
}

/* A caller without a name hides nothing, and an interpreter's machinery is folded. */
static void names_are_missed_where_the_samples_fell(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_of(0);
    frame_id unnamed = frame_in(p, "[liba.so]", "/lib/liba.so", FRAME_UNNAMED), named = frame_in(p, "f", "/bin/x", 0);
    frame_id machinery = frame_in(p, "[python]", "/bin/python", FRAME_UNNAMED | FRAME_INTERNAL);
    struct analyse_verdict v;
    add_stack(p, unnamed, named, 5000);
    add_stack(p, named, machinery, 4000);
    analyse_verdict(p, &v);
    assert_int_equal(v.n_concerns, 0);
    add_stack(p, unnamed, machinery, 1000);
    add_stack(p, named, frame_in(p, "[lib\033b.so]", "/lib/lib\033b.so", FRAME_UNNAMED), 2000);
    add_stack(p, named, frame_in(p, "[seldom.so]", "/lib/seldom.so", FRAME_UNNAMED), 200);
    analyse_verdict(p, &v);
    assert_int_equal(v.n_concerns, 1);
    assert_string_equal(v.sentence,
                        "The data is fair: 26 % of the samples fell in functions without a name: their file "
                        "stands for them");
    assert_string_equal(v.concerns[0].advice, "Install the debug symbols of lib?b.so and liba.so");
}

/* 1,000 samples of 10 ms each: 0.5 s of programs is 5 % of them, 0.05 s a tenth of what the capture cost. */
static void advice_on_a_slowdown_is_to_capture_longer_where_the_samples_were_the_least_of_it(void **state) {
    static const uint64_t probe_ns[] = {500000000, 50000000};
    for (size_t i = 0; i < ARRAY_SIZE(probe_ns); i++) {
        _cleanup_(profile_freep) struct profile *p = profile_of(1000);
        struct analyse_verdict v;
        p->period_ns = 10000000;
        p->quality.samples_taken = p->quality.stacks_whole = 1000;
        p->quality.slowdown_bound = 0.06;
        p->quality.probe_ns = probe_ns[i];
        analyse_verdict(p, &v);
        assert_int_equal(v.n_concerns, 1);
        assert_string_equal(v.concerns[0].advice, i == 0
                                                      ? "Capture with a lower -F"
                                                      : "Capture longer: most of that was scry's own start and naming");
    }
}

static void the_worst_concern_gives_the_grade_and_comes_first(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_of(2000);
    struct analyse_verdict v;
    p->quality.samples_lost = 40; /* 2 % */
    p->quality.stacks_whole = 1000;
    analyse_verdict(p, &v);
    assert_int_equal(v.grade, GRADE_POOR);
    assert_int_equal(v.n_concerns, 2);
    assert_string_equal(v.sentence, "The data is poor: 50.0 % of the stacks do not reach their root: totals of outer "
                                    "functions are too small");
    assert_string_equal(v.concerns[1].text, "2.0 % of the samples were lost: what ran then is missing");
    assert_int_equal(v.concerns[1].grade, GRADE_FAIR);
    _cleanup_(buf_free) struct buf out = {0};
    analyse_verdict_text(&out, &v, &(struct analyse_style){.width = 80});
    assert_non_null(strstr(buf_cstr(&out), "  and: 2.0 % of the samples"));
    assert_non_null(strstr(buf_cstr(&out), "  Capture with a lower -F\n"));
}

/* Names are missed in percent of the samples, from 10 and from 50 on. */
static void the_rule_of_names_has_its_grades(void **state) {
    static const int64_t unnamed[] = {900, 1100, 4900, 5100};
    static const enum analyse_grade grades[] = {GRADE_GOOD, GRADE_FAIR, GRADE_FAIR, GRADE_POOR};
    for (size_t i = 0; i < ARRAY_SIZE(unnamed); i++) {
        _cleanup_(profile_freep) struct profile *p = profile_of(0);
        frame_id named = frame_in(p, "f", "/bin/x", 0);
        struct analyse_verdict v;
        add_stack(p, named, named, 10000 - unnamed[i]);
        add_stack(p, named, frame_in(p, "[liba.so]", "/lib/liba.so", FRAME_UNNAMED), unnamed[i]);
        analyse_verdict(p, &v);
        assert_int_equal(v.grade, grades[i]);
    }
}

/* Each other rule at both of its bounds: 10,000 samples, of 5 frames each. */
static void every_rule_has_its_grades(void **state) {
    static const struct {
        struct profile_quality q;
        enum analyse_grade grade;
        const char *text;
    } cases[] = {
        {{.samples_lost = 90, .stacks_whole = 10000}, GRADE_GOOD, ""},
        {{.samples_lost = 200, .stacks_whole = 10000}, GRADE_FAIR, "2.0 % of the samples were lost"},
        {{.samples_lost = 2000, .stacks_whole = 10000}, GRADE_POOR, "16.7 % of the samples were lost"},
        {{.stacks_whole = 9950}, GRADE_GOOD, ""},
        {{.stacks_whole = 9500}, GRADE_FAIR, "5.0 % of the stacks"},
        {{.stacks_whole = 5000}, GRADE_POOR, "50.0 % of the stacks"},
        {{.stacks_whole = 10000, .frames_approximate = 15000}, GRADE_FAIR, "30 % of the frames were found by frame"},
        {{.stacks_whole = 10000, .frames_approximate = 35000}, GRADE_POOR, "70 % of the frames were found by frame"},
        {{.stacks_whole = 10000, .slowdown_bound = 0.01}, GRADE_GOOD, ""},
        {{.stacks_whole = 10000, .slowdown_bound = 0.05}, GRADE_FAIR, "5.0 % of its speed"},
        {{.stacks_whole = 10000, .slowdown_bound = 0.2}, GRADE_POOR, "20.0 % of its speed"},
    };
    _cleanup_(profile_freep) struct profile *p = profile_of(10000);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct analyse_verdict v;
        p->quality = cases[i].q;
        p->quality.samples_taken = 10000;
        p->quality.frames = 50000;
        analyse_verdict(p, &v);
        assert_int_equal(v.grade, cases[i].grade);
        assert_int_equal(v.n_concerns, cases[i].grade == GRADE_GOOD ? 0 : 1);
        assert_non_null(strstr(v.n_concerns ? v.concerns[0].text : "", cases[i].text));
    }
}

static void few_samples_and_silent_files_are_told(void **state) {
    _cleanup_(profile_freep) struct profile *few = profile_of(50), *foreign = profile_of(5000), *none = profile_of(0);
    struct analyse_verdict v;
    analyse_verdict(few, &v);
    assert_int_equal(v.grade, GRADE_POOR);
    assert_non_null(strstr(v.sentence, "few samples: a share may be off by 13 points"));
    foreign->quality = (struct profile_quality){.slowdown_bound = -1};
    analyse_verdict(foreign, &v);
    assert_false(v.told);
    assert_non_null(strstr(v.sentence, "the file does not say"));
    foreign->value_types[0] =
        (struct profile_value_type){profile_string(foreign, "space"), profile_string(foreign, "bytes")};
    analyse_verdict(foreign, &v);
    assert_false(v.counted);
    assert_int_equal(v.n_concerns, 0);
    assert_string_equal(v.sentence, "The file does not say how many samples it was made from");
    analyse_verdict(none, &v);
    assert_string_equal(v.sentence, "There is no data: no sample was taken");
}

/* ---- lines, threads ---- */

static frame_id frame_at(struct profile *p, const char *name, const char *file, uint32_t line) {
    function_id f = profile_function(
        p, &(struct profile_function){.name = profile_string(p, name), .file = profile_string(p, file)});
    return profile_frame(p, &(struct profile_frame){.function = f, .line = line});
}

static struct profile *threaded_profile(void) {
    struct profile *p = profile_new();
    assert_non_null(p);
    profile_value_type(p, "samples", "count");
    p->default_value = profile_value_type(p, "cpu", "nanoseconds");
    thread_id threads[4];
    for (uint32_t i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "worker-%u", i);
        threads[i] =
            profile_thread(p, &(struct profile_thread){.pid = 10 + i / 3,
                                                       .tid = 20 + i,
                                                       .process_name = profile_string(p, i / 3 ? "other" : "server"),
                                                       .thread_name = profile_string(p, name)});
    }
    stack_id main_ = profile_stack(p, 0, frame_at(p, "main", "/src/main.c", 10));
    stack_id hot = profile_stack(p, main_, frame_at(p, "work", "/src/work.c", 77));
    stack_id other = profile_stack(p, main_, frame_at(p, "work", "/src/work.c", 78));
    stack_id same = profile_stack(p, hot, frame_at(p, "inner", "/src/work.c", 77));
    stack_id bare = profile_stack(p, 0, frame_at(p, "bare", "", 0));
    struct {
        stack_id stack;
        unsigned thread;
        int64_t samples;
    } rows[] = {{hot, 0, 50}, {other, 1, 20}, {same, 1, 5}, {bare, 2, 5}, {hot, 3, 20}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        profile_add_sample(p, &(struct profile_sample){.stack = rows[i].stack, .thread = threads[rows[i].thread]},
                           (int64_t[]){rows[i].samples, rows[i].samples * 1000});
    return p;
}

static void a_row_counts_for_as_many_samples_as_it_says(void **state) {
    _cleanup_(profile_freep) struct profile *p = threaded_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    assert_int_equal(analyse_sample_count(p), 100);
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(t.samples, 100);
    assert_int_equal(t.rows[0].self_samples, 90);
    assert_int_equal(t.rows[0].total_samples, 95);
}

static void a_line_is_one_row_whatever_functions_have_it(void **state) {
    _cleanup_(profile_freep) struct profile *p = threaded_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    assert_int_equal(analyse_top_by(p, 1, ANALYSE_LINES, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(t.n_rows, 4);
    assert_int_equal(p->frames[t.rows[0].frame].line, 77);
    assert_int_equal(t.rows[0].self_samples, 75);
    assert_int_equal(t.rows[0].total_samples, 75); /* line 77 calls line 77: once */
    assert_int_equal(p->frames[t.rows[1].frame].line, 78);
    assert_int_equal(t.rows[2].self_samples, 5);   /* bare: one row without a line */
    assert_int_equal(t.rows[3].total_samples, 95); /* main's */
}

static void files_are_rows_too(void **state) {
    _cleanup_(profile_freep) struct profile *p = threaded_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    assert_int_equal(analyse_top_by(p, 1, ANALYSE_FILES, ANALYSE_BY_TOTAL, &t, NULL), 0);
    assert_int_equal(t.n_rows, 3);
    assert_int_equal(t.rows[0].total_samples, 95);
    assert_int_equal(t.rows[0].self_samples + t.rows[1].self_samples, 95);
}

static void threads_and_processes_have_their_shares(void **state) {
    _cleanup_(profile_freep) struct profile *p = threaded_profile();
    _cleanup_(analyse_threads_free) struct analyse_threads t = {0};
    _cleanup_(buf_free) struct buf out = {0};
    assert_int_equal(analyse_threads(p, 1, &t, NULL), 0);
    assert_int_equal(t.n_threads, 4);
    assert_int_equal(t.n_processes, 2);
    assert_int_equal(t.processes[0].samples, 80);
    assert_int_equal(t.processes[0].threads, 3);
    analyse_threads_text(&out, p, &t, &(struct analyse_style){.width = 80, .limit = 3});
    assert_string_equal(buf_cstr(&out), "  total   samples  processes\n"
                                        " 80.0 %        80  server (10), 3 threads\n"
                                        " 20.0 %        20  other (11)\n"
                                        "  total   samples  threads\n"
                                        " 50.0 %        50  worker-0 (20)\n"
                                        " 25.0 %        25  worker-1 (21)\n"
                                        " 20.0 %        20  worker-3 (23)\n"
                                        "... and 1 thread more\n");
}

static void a_thread_that_ran_two_programs_is_one(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    assert_non_null(p);
    profile_value_type(p, "samples", "count");
    static const struct {
        uint32_t pid, tid;
        const char *name;
        int64_t samples;
    } rows[] = {{7, 7, "bash", 20}, {7, 7, "burn", 30}, {8, 8, "other", 45}, {9, 0, "nameless", 5}, {9, 0, "too", 5}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        string_id name = profile_string(p, rows[i].name);
        struct profile_thread t = {.pid = rows[i].pid, .tid = rows[i].tid, .process_name = name, .thread_name = name};
        profile_add_sample(p, &(struct profile_sample){.thread = profile_thread(p, &t)}, &rows[i].samples);
    }
    _cleanup_(analyse_threads_free) struct analyse_threads t = {0};
    _cleanup_(buf_free) struct buf out = {0};
    assert_int_equal(analyse_threads(p, 0, &t, NULL), 0);
    assert_int_equal(t.n_threads, 4); /* threads without an id are told apart by their names alone */
    assert_int_equal(t.total, 105);
    assert_int_equal(t.processes[0].threads, 1);
    assert_int_equal(t.threads[0].samples, 50);
    analyse_threads_text(&out, p, &t, &(struct analyse_style){.width = 80, .limit = 1});
    assert_non_null(strstr(buf_cstr(&out), " 47.6 %        50  burn (7)\n... and 2 processes more\n"));
    assert_null(strstr(buf_cstr(&out), "bash"));
}

static void one_thread_is_not_worth_a_table(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_of(5);
    _cleanup_(analyse_threads_free) struct analyse_threads t = {0};
    _cleanup_(buf_free) struct buf out = {0};
    assert_int_equal(analyse_threads(p, 0, &t, NULL), 0);
    analyse_threads_text(&out, p, &t, &(struct analyse_style){.width = 80});
    assert_int_equal(out.len, 0);
}

/* ---- finding, and the tree from the leaves ---- */

static void a_pattern_chooses_all_that_match(void **state) {
    _cleanup_(profile_freep) struct profile *p = threaded_profile();
    _cleanup_(freep) bool *chosen = NULL, *none = NULL;
    struct err err = {0};
    assert_int_equal(analyse_find_functions(p, "/^(work|inner)$/", &chosen, &err), 0);
    _cleanup_(analyse_tree_free) struct analyse_tree t = {0};
    assert_int_equal(analyse_callers(p, 1, chosen, 0, &t, NULL), 0);
    assert_int_equal(t.nodes[0].total_samples, 95);
    assert_int_equal(analyse_find_functions(p, "/(/", &none, &err), -EINVAL);
    assert_int_equal(analyse_find_functions(p, "/nothing/", &none, &err), -ENOENT);
    assert_null(none);
}

static void the_inverted_tree_begins_with_what_runs(void **state) {
    _cleanup_(profile_freep) struct profile *p = threaded_profile();
    _cleanup_(analyse_tree_free) struct analyse_tree t = {0};
    assert_int_equal(analyse_inverted_tree(p, 1, 0, &t, NULL), 0);
    assert_int_equal(t.nodes[0].total_samples, 100);
    const struct analyse_node *work = &t.nodes[t.nodes[0].first_child];
    assert_string_equal(profile_str(p, p->functions[work->function].name), "work");
    assert_int_equal(work->total_samples, 90);
    assert_int_equal(t.nodes[work->first_child].total_samples, 90); /* main calls it, both lines */
    assert_int_equal(t.nodes[work->first_child].next_sibling, 0);
}

static void values_that_overflow_stay_at_the_end(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    profile_value_type(p, "space", "bytes");
    stack_id s = profile_stack(p, 0, frame_at(p, "f", "", 0));
    for (int i = 0; i < 3; i++)
        profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){INT64_MAX});
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    assert_int_equal(analyse_top(p, 0, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(t.rows[0].self, INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_as_wide_as_terminals_show_them),
        cmocka_unit_test(a_long_name_loses_its_middle),
        cmocka_unit_test(names_cannot_steer_the_terminal),
        cmocka_unit_test(padding_is_by_columns),
        cmocka_unit_test(the_margin_is_wilsons_interval),
        cmocka_unit_test(good_data_is_called_good_with_its_margin),
        cmocka_unit_test(advice_on_generated_code_is_of_its_runtime),
        cmocka_unit_test(names_are_missed_where_the_samples_fell),
        cmocka_unit_test(the_rule_of_names_has_its_grades),
        cmocka_unit_test(advice_on_a_slowdown_is_to_capture_longer_where_the_samples_were_the_least_of_it),
        cmocka_unit_test(the_worst_concern_gives_the_grade_and_comes_first),
        cmocka_unit_test(every_rule_has_its_grades),
        cmocka_unit_test(few_samples_and_silent_files_are_told),
        cmocka_unit_test(a_row_counts_for_as_many_samples_as_it_says),
        cmocka_unit_test(a_line_is_one_row_whatever_functions_have_it),
        cmocka_unit_test(files_are_rows_too),
        cmocka_unit_test(threads_and_processes_have_their_shares),
        cmocka_unit_test(a_thread_that_ran_two_programs_is_one),
        cmocka_unit_test(one_thread_is_not_worth_a_table),
        cmocka_unit_test(a_pattern_chooses_all_that_match),
        cmocka_unit_test(the_inverted_tree_begins_with_what_runs),
        cmocka_unit_test(values_that_overflow_stay_at_the_end),
    };
    return RUN_TESTS(tests);
}
