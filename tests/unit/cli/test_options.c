#include "../unit.h"

#include <errno.h>

#include "cli/options.h"
#include "cli/reference.h"

/* The verbs themselves are not what is tested here. */
#define VERB(name, ...)                                                                                                \
    int cmd_##name(const struct options *o, struct err *err) {                                                         \
        return 0;                                                                                                      \
    }
#include "cli/verbs.def"
#undef VERB

enum { MOST_WORDS = 16 };

/* Splits a line at spaces and parses it. The words live as long as the test. */
static int parse(const char *line, struct options *o, struct err *err) {
    static char copy[512];
    static char *words[MOST_WORDS + 1];
    int n = 0;
    snprintf(copy, sizeof(copy), "%s", line);
    char *rest = copy;
    for (char *word; n < MOST_WORDS && (word = strsep(&rest, " "));)
        words[n++] = word;
    words[n] = NULL;
    *err = (struct err){0};
    return options_parse(n, words, o, err);
}

/* Parses a line that must be refused, and returns the sentence. */
static const char *refused(const char *line) {
    static struct err err;
    _cleanup_(options_free) struct options o;
    assert_int_equal(parse(line, &o, &err), CMD_BAD_USAGE);
    assert_int_not_equal(err.text[0], 0);
    assert_int_not_equal(err.advice[0], 0);
    return err.text;
}

static void everything_that_is_given_arrives(void **state) {
    struct err err;
    _cleanup_(options_free) struct options o;
    assert_int_equal(parse("scry cpu -p 12,13 --pid=14 -d 1.5s -F 999 -o x.html --json --threads -i", &o, &err), 0);
    assert_int_equal(o.verb->id, VERB_cpu);
    assert_int_equal(o.n_pids, 3);
    assert_int_equal(o.pids[2], 14);
    assert_int_equal(o.duration_ns, 1500000000);
    assert_int_equal(o.frequency, 999);
    assert_string_equal(o.output, "x.html");
    assert_true(o.json && o.threads && o.internal && !o.no_kernel && !o.all);
}

static void defaults_come_from_the_table(void **state) {
    struct err err;
    _cleanup_(options_free) struct options o;
    assert_int_equal(parse("scry cpu -a", &o, &err), 0);
    assert_int_equal(o.frequency, 99);
    assert_int_equal(o.duration_ns, 0);
    assert_null(o.output);
    options_free(&o);
    assert_int_equal(parse("scry report f", &o, &err), 0);
    assert_int_equal(o.limit, 25);
    assert_int_equal(o.sort, REPORT_SORT_SELF);
    assert_true(o.min_percent > 0.49 && o.min_percent < 0.51);
}

static void durations_have_units(void **state) {
    static const struct {
        const char *line;
        uint64_t ms;
    } cases[] = {{"scry cpu -a -d 10", 10000},
                 {"scry cpu -a -d2m", 120000},
                 {"scry cpu -a -d 500ms", 500},
                 {"scry cpu -a -d .5h", 1800000},
                 {"scry cpu -a --duration=3min", 180000}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err;
        _cleanup_(options_free) struct options o;
        assert_int_equal(parse(cases[i].line, &o, &err), 0);
        assert_int_equal(o.duration_ns, cases[i].ms * 1000000);
    }
}

static void a_command_keeps_its_own_options(void **state) {
    struct err err;
    _cleanup_(options_free) struct options o;
    assert_int_equal(parse("scry cpu -F 50 -- prog -F 7 -- x", &o, &err), 0);
    assert_int_equal(o.frequency, 50);
    assert_string_equal(o.command[0], "prog");
    assert_string_equal(o.command[4], "x");
    assert_null(o.command[5]);
}

static void operands_may_stand_among_options(void **state) {
    struct err err;
    _cleanup_(options_free) struct options o;
    assert_int_equal(parse("scry report --tree file.pb.gz --min 3", &o, &err), 0);
    assert_string_equal(o.operands[0], "file.pb.gz");
    assert_true(o.tree);
    options_free(&o);
    assert_int_equal(parse("scry convert - --to folded -- -x", &o, &err), 0);
    assert_int_equal(o.n_operands, 2);
    assert_string_equal(o.operands[1], "-x");
}

static void a_process_named_twice_is_one(void **state) {
    struct err err;
    _cleanup_(options_free) struct options o;
    assert_int_equal(parse("scry cpu -p 12,13,12 -p 13 --pid=12", &o, &err), 0);
    assert_int_equal(o.n_pids, 2);
    assert_int_equal(o.pids[0], 12);
    assert_int_equal(o.pids[1], 13);
}

static void what_would_be_ignored_is_refused(void **state) {
    static const char *const fine[] = {"scry report f -n 25 -s total -b lines --threads",
                                       "scry report f --tree --min 3 --inverted --threads",
                                       "scry report f --callers g --min 3",
                                       "scry dump --core f --sysroot /",
                                       "scry cpu -a --json -o f -t folded",
                                       "scry cpu -a -t folded",
                                       "scry cpu --help ls"};
    assert_string_equal(refused("scry report f --tree -n 25"),
                        "-n (--limit) is said of a table, and --tree prints a tree");
    assert_string_equal(refused("scry report f --callers g --sort self"),
                        "-s (--sort) is said of a table, and --callers prints a tree");
    assert_string_equal(refused("scry report f --callees=g -b files"),
                        "-b (--by) is said of a table, and --callees prints a tree");
    assert_string_equal(refused("scry report f --min 0.5"), "--min is said of a tree");
    assert_string_equal(refused("scry report f --inverted"), "--inverted is said of a tree");
    assert_string_equal(refused("scry report f --inverted --callers g"), "--inverted is said of a tree");
    assert_string_equal(refused("scry report f --tree --callers g"),
                        "Only one of --tree, --callers and --callees can be printed at a time");
    assert_string_equal(refused("scry dump -p 1 --sysroot /"), "--sysroot is said of a core file");
    assert_string_equal(refused("scry cpu -a --json -t folded"),
                        "-t (--to) is said of a file, and with --json none is written unless -o names one");
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        struct err err;
        _cleanup_(options_free) struct options o;
        assert_int_equal(parse(fine[i], &o, &err), 0);
    }
}

static void nonsense_is_refused_with_a_sentence(void **state) {
    assert_string_equal(refused("scry cpu -F 0 -a"), "-F 0 is out of range: it goes from 1 to 20000");
    assert_string_equal(refused("scry cpu -F 1000000 -a"), "-F 1000000 is out of range: it goes from 1 to 20000");
    assert_string_equal(refused("scry cpu -F -5 -a"), "-F -5 is out of range: it goes from 1 to 20000");
    assert_string_equal(refused("scry cpu -F 99999999999999999999 -a"),
                        "-F 99999999999999999999 is out of range: it goes from 1 to 20000");
    assert_string_equal(refused("scry cpu -F fast -a"), "-F wants a whole number, not \"fast\"");
    assert_string_equal(refused("scry cpu -p 0"), "-p 0 is out of range: it goes from 1 to 4194304");
    assert_string_equal(refused("scry cpu -p python"), "-p wants a process id, not \"python\"");
    assert_string_equal(refused("scry cpu -p 1,"), "-p wants a process id, not \"1,\"");
    assert_string_equal(refused("scry cpu -a -d"), "-d wants a value: TIME");
    assert_string_equal(refused("scry cpu -a -d 1.2.3"),
                        "-d wants a time such as 10, 1.5s, 500ms or 2m, not \"1.2.3\"");
    assert_string_equal(refused("scry cpu -a -d 0"), "-d 0 is out of range: it goes from 10ms to 30 days (720h)");
    assert_string_equal(refused("scry cpu -a --json=1"), "--json takes no value");
    assert_string_equal(refused("scry cpu"), "There is nothing to profile");
    assert_string_equal(refused("scry cpu -a --"), "There is no command after \"--\"");
    assert_string_equal(refused("scry cpu -az"), "scry cpu has no option -z");
    assert_string_equal(refused("scry report"), "scry report wants FILE");
    assert_string_equal(refused("scry report a b"), "scry report does not know what to do with \"b\"");
    assert_string_equal(refused("scry report f -s name"), "-s is one of self|total, not \"name\"");
    assert_string_equal(refused("scry report f --min 101"), "--min 101 is out of range: it goes from 0 to 100 %");
    refused("scry cpu -a -p 1");
    refused("scry dump -p 1 -p 2");
    refused("scry dump");
}

static void a_misspelling_gets_a_suggestion(void **state) {
    static const struct {
        const char *line, *advice;
    } cases[] = {
        {"scry cpu --frequncy 5", "Did you mean --frequency?"},
        {"scry cpu --dur 5", "Did you mean --duration?"},
        {"scry cpu --callers f", "It is an option of scry report; see scry cpu --help"},
        {"scry cpu --xyzzy", "See scry cpu --help"},
        {"scry reprot f", "Did you mean scry report?"},
        {"scry xyzzy", "See scry --help for what there is"},
        {"scry cpu python3", "A command to run stands after \"--\": scry cpu -- python3"},
        {"scry cpu sh -c true", "A command to run stands after \"--\": scry cpu -- sh"},
        {"scry cpu -F 99 make --jobs", "A command to run stands after \"--\": scry cpu -- make"},
        {"scry cpu 12,34", "A process is named with -p: scry cpu -p 12,34"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err;
        _cleanup_(options_free) struct options o;
        assert_int_equal(parse(cases[i].line, &o, &err), CMD_BAD_USAGE);
        assert_string_equal(err.advice, cases[i].advice);
    }
}

static void no_letter_or_name_means_two_things_in_one_verb(void **state) {
    for (size_t v = 0; v < VERB_COUNT; v++)
        for (size_t i = 0; i < n_option_specs; i++)
            for (size_t k = 0; k < i; k++) {
                const struct option_spec *a = &option_specs[i], *b = &option_specs[k];
                if (!option_belongs(a, &verbs[v]) || !option_belongs(b, &verbs[v]))
                    continue;
                assert_string_not_equal(a->name, b->name);
                assert_true(!a->letter || a->letter != b->letter);
            }
}

static void running_out_of_memory_is_an_answer(void **state) {
    struct err err;
    for (long n = 0; n < 2; n++) {
        _cleanup_(options_free) struct options o;
        mem_fail_after(n);
        int rc = parse("scry cpu -p 1", &o, &err);
        mem_fail_after(-1);
        assert_int_equal(rc, -ENOMEM);
    }
}

static void every_option_of_a_verb_is_in_everything_made_from_the_table(void **state) {
    for (size_t v = 0; v < VERB_COUNT; v++) {
        struct buf help = {0}, man = {0};
        help_verb(&help, &verbs[v], 80);
        manual_verb(&man, &verbs[v]);
        for (size_t i = 0; i < n_option_specs; i++) {
            if (!option_belongs(&option_specs[i], &verbs[v]))
                continue;
            char flag[64];
            snprintf(flag, sizeof(flag), "--%s", option_specs[i].name);
            assert_non_null(strstr(buf_cstr(&help), flag));
        }
        buf_free(&help);
        buf_free(&man);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_given_arrives),
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(a_command_keeps_its_own_options),
        cmocka_unit_test(operands_may_stand_among_options),
        cmocka_unit_test(a_process_named_twice_is_one),
        cmocka_unit_test(what_would_be_ignored_is_refused),
        cmocka_unit_test(nonsense_is_refused_with_a_sentence),
        cmocka_unit_test(a_misspelling_gets_a_suggestion),
        cmocka_unit_test(no_letter_or_name_means_two_things_in_one_verb),
        cmocka_unit_test(running_out_of_memory_is_an_answer),
        cmocka_unit_test(every_option_of_a_verb_is_in_everything_made_from_the_table),
    };
    return RUN_TESTS(tests);
}
