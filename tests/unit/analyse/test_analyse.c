#include "../unit.h"

#include <errno.h>

#include "analyse/analyse.h"

static frame_id frame_at(struct profile *p, const char *name, uint32_t line) {
    function_id f = profile_function(p, &(struct profile_function){.name = profile_string(p, name)});
    return profile_frame(p, &(struct profile_frame){.function = f, .line = line});
}

/* Adds a sample whose stack is written root first: "main;work;leaf". A name may end in ":LINE". */
static void add(struct profile *p, const char *stack, int64_t value) {
    char copy[256];
    snprintf(copy, sizeof(copy), "%s", stack);
    stack_id s = 0;
    char *rest = copy;
    for (char *name; *copy && (name = strsep(&rest, ";"));) {
        char *line = strchr(name, ':');
        if (line)
            *line++ = 0;
        s = profile_stack(p, s, frame_at(p, name, line ? (uint32_t)atoi(line) : 0));
    }
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1, value});
}

static struct profile *empty_profile(void) {
    struct profile *p = profile_new();
    assert_non_null(p);
    profile_value_type(p, "samples", "count");
    p->default_value = profile_value_type(p, "cpu", "nanoseconds");
    return p;
}

static struct profile *small_profile(void) {
    struct profile *p = empty_profile();
    add(p, "main;parse:10;read", 30);
    add(p, "main;parse:12;read", 20);
    add(p, "main;parse:12", 10);
    add(p, "main;sort;compare", 25);
    add(p, "main;sort;sort;compare", 5);
    add(p, "other;read", 8);
    add(p, "", 2);
    return p;
}

static const struct analyse_row *row_of(const struct profile *p, const struct analyse_table *t, const char *name) {
    for (size_t i = 0; i < t->n_rows; i++)
        if (strcmp(profile_str(p, p->functions[t->rows[i].function].name), name) == 0)
            return &t->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void a_functions_lines_are_one_row_and_recursion_counts_once(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(t.total, 100);
    assert_int_equal(t.samples, 7);
    assert_int_equal(t.n_rows, 6);
    assert_int_equal(row_of(p, &t, "parse")->self, 10);
    assert_int_equal(row_of(p, &t, "parse")->total, 60);
    assert_int_equal(row_of(p, &t, "sort")->self, 0);
    assert_int_equal(row_of(p, &t, "sort")->total, 30);
    assert_int_equal(row_of(p, &t, "sort")->total_samples, 2);
    assert_int_equal(row_of(p, &t, "read")->self, 58);
    assert_int_equal(row_of(p, &t, "main")->total, 90);
    assert_ptr_equal(row_of(p, &t, "read"), &t.rows[0]);
}

static void rows_stand_in_the_order_asked_for(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_TOTAL, &t, NULL), 0);
    assert_ptr_equal(row_of(p, &t, "main"), &t.rows[0]);
    for (size_t i = 1; i < t.n_rows; i++)
        assert_true(t.rows[i].total <= t.rows[i - 1].total);
}

static void the_tree_merges_lines_and_orders_children(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(analyse_tree_free) struct analyse_tree t = {0};
    assert_int_equal(analyse_tree(p, 1, &t, NULL), 0);
    assert_int_equal(t.nodes[0].total, 100);
    assert_int_equal(t.nodes[0].self, 2);
    const struct analyse_node *main_ = &t.nodes[t.nodes[0].first_child];
    assert_int_equal(main_->total, 90);
    const struct analyse_node *parse = &t.nodes[main_->first_child];
    assert_int_equal(parse->total, 60);
    assert_int_equal(parse->self, 10);
    assert_int_equal(t.nodes[parse->first_child].total, 50);
    assert_int_equal(t.nodes[parse->first_child].next_sibling, 0);
    assert_int_equal(t.nodes[parse->next_sibling].total, 30);
}

static void callers_and_callees_start_at_the_outermost_call(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(freep) bool *sort = NULL;
    assert_int_equal(analyse_find_functions(p, "sort", &sort, NULL), 0);
    _cleanup_(analyse_tree_free) struct analyse_tree up = {0}, down = {0};
    assert_int_equal(analyse_callers(p, 1, sort, 0, &up, NULL), 0);
    assert_int_equal(up.nodes[0].total, 30);
    assert_int_equal(up.n_nodes, 2); /* main only: sort does not call the outermost sort */
    assert_int_equal(up.nodes[up.nodes[0].first_child].self, 30);
    assert_int_equal(analyse_callees(p, 1, sort, &down, NULL), 0);
    assert_int_equal(down.nodes[0].total, 30);
    assert_int_equal(down.nodes[down.nodes[0].first_child].total, 25);
    assert_int_equal(down.total, 100);

    _cleanup_(freep) bool *read = NULL;
    assert_int_equal(analyse_find_functions(p, "read", &read, NULL), 0);
    _cleanup_(analyse_tree_free) struct analyse_tree readers = {0};
    assert_int_equal(analyse_callers(p, 1, read, 0, &readers, NULL), 0);
    const struct analyse_node *parse = &readers.nodes[readers.nodes[0].first_child];
    assert_int_equal(parse->total, 50);
    assert_int_equal(readers.nodes[parse->next_sibling].self, 8); /* other */
}

static void functions_are_found_by_name_or_by_a_clear_part_of_it(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    _cleanup_(freep) bool *a = NULL, *b = NULL;
    struct err err = {0};
    assert_int_equal(analyse_find_functions(p, "compa", &a, &err), 0);
    assert_int_equal(analyse_find_functions(p, "r", &b, &err), -ENOENT);
    assert_string_equal(err.advice, "It may be parse, read, sort, compare, other");
    assert_int_equal(analyse_find_functions(p, "nothing", &b, &err), -ENOENT);
    assert_null(b);
}

static void value_types_are_found_by_name(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    struct err err = {0};
    unsigned v = 7;
    assert_int_equal(analyse_value_type(p, NULL, &v, &err), 0);
    assert_int_equal(v, 1);
    assert_int_equal(analyse_value_type(p, "samples", &v, &err), 0);
    assert_int_equal(v, 0);
    assert_int_equal(analyse_value_type(p, "space", &v, &err), -ENOENT);
    assert_string_equal(err.advice, "It has samples, cpu");
}

/* ---- against the definition, on stacks made by chance ---- */

static bool stack_has(const struct profile *p, stack_id s, function_id f) {
    for (; s; s = p->stacks[s].parent)
        if (p->frames[p->stacks[s].frame].function == f)
            return true;
    return false;
}

static void check_row(const struct profile *p, const struct analyse_row *row) {
    int64_t self = 0, total = 0;
    for (size_t i = 0; i < p->n_samples; i++) {
        stack_id s = p->samples[i].stack;
        if (s && p->frames[p->stacks[s].frame].function == row->function)
            self += profile_value(p, i, 1);
        if (stack_has(p, s, row->function))
            total += profile_value(p, i, 1);
    }
    assert_int_equal(row->self, self);
    assert_int_equal(row->total, total);
}

static struct profile *random_profile(unsigned seed) {
    struct profile *p = empty_profile();
    srand(seed);
    for (int i = 0; i < 300; i++) {
        char stack[256] = "";
        int depth = rand() % 12;
        for (int d = 0; d < depth; d++)
            snprintf(stack + strlen(stack), sizeof(stack) - strlen(stack), "%sf%d:%d", d ? ";" : "", rand() % 8,
                     rand() % 3);
        add(p, stack, rand() % 1000);
    }
    return p;
}

static void tables_agree_with_their_definition(void **state) {
    for (unsigned seed = 1; seed <= 20; seed++) {
        _cleanup_(profile_freep) struct profile *p = random_profile(seed);
        _cleanup_(analyse_table_free) struct analyse_table t = {0};
        assert_int_equal(analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL), 0);
        for (size_t i = 0; i < t.n_rows; i++)
            check_row(p, &t.rows[i]);
        for (size_t i = 0; i < t.n_rows; i++) {
            _cleanup_(freep) bool *chosen = NULL;
            const char *name = profile_str(p, p->functions[t.rows[i].function].name);
            assert_int_equal(analyse_find_functions(p, name, &chosen, NULL), 0);
            _cleanup_(analyse_tree_free) struct analyse_tree up = {0}, down = {0};
            assert_int_equal(analyse_callers(p, 1, chosen, 0, &up, NULL), 0);
            assert_int_equal(analyse_callees(p, 1, chosen, &down, NULL), 0);
            assert_int_equal(up.nodes[0].total, t.rows[i].total);
            assert_int_equal(down.nodes[0].total, t.rows[i].total);
            assert_int_equal(down.nodes[0].total_samples, t.rows[i].total_samples);
        }
    }
}

/* What is large enough is the same in both trees, children in order; what is smaller is there, but may have none. */
static void check_cut(const struct analyse_tree *whole, uint32_t a, const struct analyse_tree *cut, uint32_t b,
                      int64_t least) {
    const struct analyse_node *x = &whole->nodes[a], *y = &cut->nodes[b];
    assert_int_equal(x->function, y->function);
    assert_int_equal(x->total, y->total);
    assert_int_equal(x->total_samples, y->total_samples);
    if (x->total < least) {
        assert_int_equal(y->first_child, 0);
        return;
    }
    assert_int_equal(x->self, y->self);
    a = x->first_child;
    b = y->first_child;
    for (; a && b; a = whole->nodes[a].next_sibling, b = cut->nodes[b].next_sibling)
        check_cut(whole, a, cut, b, least);
    assert_true(!a && !b);
}

static void a_cut_tree_is_the_same_as_far_as_it_is_shown(void **state) {
    for (unsigned seed = 1; seed <= 10; seed++) {
        _cleanup_(profile_freep) struct profile *p = random_profile(seed);
        _cleanup_(analyse_tree_free) struct analyse_tree whole = {0}, cut = {0}, callers = {0}, cut_callers = {0};
        _cleanup_(freep) bool *chosen = NULL;
        double share = 0.003 * seed;
        assert_int_equal(analyse_inverted_tree(p, 1, 0, &whole, NULL), 0);
        assert_int_equal(analyse_inverted_tree(p, 1, share, &cut, NULL), 0);
        assert_true(cut.n_nodes < whole.n_nodes);
        check_cut(&whole, 0, &cut, 0, analyse_least(whole.total, share));
        assert_int_equal(analyse_find_functions(p, "f3", &chosen, NULL), 0);
        assert_int_equal(analyse_callers(p, 1, chosen, 0, &callers, NULL), 0);
        assert_int_equal(analyse_callers(p, 1, chosen, share, &cut_callers, NULL), 0);
        check_cut(&callers, 0, &cut_callers, 0, analyse_least(callers.total, share));
    }
}

/* A chain of 3,500 calls, each with a sample: turned over, without the sharing, it is six million nodes. */
static void a_tree_that_grows_when_turned_over_is_cut_or_refused(void **state) {
    _cleanup_(profile_freep) struct profile *p = empty_profile();
    _cleanup_(analyse_tree_free) struct analyse_tree t = {0};
    struct err err = {0};
    stack_id s = 0;
    for (int i = 0; i < 3500; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        s = profile_stack(p, s, frame_at(p, name, 0));
        profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1, 1});
    }
    assert_int_equal(analyse_inverted_tree(p, 1, 0.005, &t, NULL), 0);
    assert_int_equal(t.n_nodes, 3501);
    analyse_tree_free(&t);
    assert_int_equal(analyse_inverted_tree(p, 1, 0, &t, &err), -E2BIG);
    assert_string_equal(err.text, "The tree has more than 4 million nodes");
}

static void values_below_zero_count_as_nothing_everywhere(void **state) {
    _cleanup_(profile_freep) struct profile *p = empty_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    _cleanup_(analyse_tree_free) struct analyse_tree tree = {0};
    add(p, "main;less", -5);
    add(p, "main;more", 20);
    add(p, "main;less", INT64_MIN);
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(t.total, 20);
    assert_int_equal(row_of(p, &t, "more")->self, 20);
    assert_int_equal(row_of(p, &t, "less")->self, 0);
    assert_int_equal(analyse_tree(p, 1, &tree, NULL), 0);
    assert_int_equal(tree.total, 20);
    assert_int_equal(analyse_below_zero(p, 1).rows, 2);
    assert_int_equal(analyse_below_zero(p, 1).sum, INT64_MIN);
}

static void add_uncounted(struct profile *p, const char *stack, int64_t value) {
    add(p, stack, value);
    p->values[(p->n_samples - 1) * p->n_value_types] = 0;
}

static void what_weighs_something_without_a_sample_is_in_every_view(void **state) {
    _cleanup_(profile_freep) struct profile *p = empty_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    _cleanup_(analyse_tree_free) struct analyse_tree down = {0}, up = {0}, callers = {0}, callees = {0};
    _cleanup_(freep) bool *chosen = NULL;
    add_uncounted(p, "main;a", 30);
    add(p, "main;b", 20);
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(row_of(p, &t, "a")->self, 30);
    assert_int_equal(analyse_tree(p, 1, &down, NULL), 0);
    assert_int_equal(down.n_nodes, 4);
    assert_int_equal(down.nodes[0].total, 50);
    assert_int_equal(analyse_inverted_tree(p, 1, 0, &up, NULL), 0);
    assert_int_equal(up.nodes[0].total, 50);
    assert_int_equal(up.nodes[up.nodes[0].first_child].total, 30);
    assert_int_equal(analyse_find_functions(p, "a", &chosen, NULL), 0);
    assert_int_equal(analyse_callers(p, 1, chosen, 0, &callers, NULL), 0);
    assert_int_equal(callers.nodes[0].total, 30);
    assert_int_equal(analyse_callees(p, 1, chosen, &callees, NULL), 0);
    assert_int_equal(callees.nodes[0].total, 30);
}

static void very_deep_stacks_are_no_trouble(void **state) {
    _cleanup_(profile_freep) struct profile *p = empty_profile();
    stack_id s = 0;
    for (int i = 0; i < 200000; i++)
        s = profile_stack(p, s, frame_at(p, i % 2 ? "even" : "odd", 0));
    profile_add_sample(p, &(struct profile_sample){.stack = s}, (int64_t[]){1, 1});
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    _cleanup_(analyse_tree_free) struct analyse_tree tree = {0};
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_TOTAL, &t, NULL), 0);
    assert_int_equal(t.rows[0].total, 1);
    assert_int_equal(analyse_tree(p, 1, &tree, NULL), 0);
    assert_int_equal(tree.n_nodes, 200001);
}

static void an_empty_profile_has_empty_tables(void **state) {
    _cleanup_(profile_freep) struct profile *p = empty_profile();
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    _cleanup_(analyse_tree_free) struct analyse_tree tree = {0};
    assert_int_equal(analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL), 0);
    assert_int_equal(t.n_rows, 0);
    assert_int_equal(analyse_tree(p, 1, &tree, NULL), 0);
    assert_int_equal(tree.n_nodes, 1);
}

static void no_failed_allocation_goes_unnoticed(void **state) {
    _cleanup_(profile_freep) struct profile *p = small_profile();
    for (long n = 0;; n++) {
        _cleanup_(analyse_table_free) struct analyse_table t = {0};
        _cleanup_(analyse_tree_free) struct analyse_tree tree = {0};
        mem_fail_after(n);
        int top = analyse_top(p, 1, ANALYSE_BY_SELF, &t, NULL);
        int rc = top ? top : analyse_tree(p, 1, &tree, NULL);
        mem_fail_after(-1);
        assert_true(rc == 0 || rc == -ENOMEM);
        if (rc == 0)
            break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_functions_lines_are_one_row_and_recursion_counts_once),
        cmocka_unit_test(rows_stand_in_the_order_asked_for),
        cmocka_unit_test(the_tree_merges_lines_and_orders_children),
        cmocka_unit_test(callers_and_callees_start_at_the_outermost_call),
        cmocka_unit_test(functions_are_found_by_name_or_by_a_clear_part_of_it),
        cmocka_unit_test(value_types_are_found_by_name),
        cmocka_unit_test(tables_agree_with_their_definition),
        cmocka_unit_test(a_cut_tree_is_the_same_as_far_as_it_is_shown),
        cmocka_unit_test(a_tree_that_grows_when_turned_over_is_cut_or_refused),
        cmocka_unit_test(values_below_zero_count_as_nothing_everywhere),
        cmocka_unit_test(what_weighs_something_without_a_sample_is_in_every_view),
        cmocka_unit_test(very_deep_stacks_are_no_trouble),
        cmocka_unit_test(an_empty_profile_has_empty_tables),
        cmocka_unit_test(no_failed_allocation_goes_unnoticed),
    };
    return RUN_TESTS(tests);
}
