#include "../unit.h"

#include "../validate.h"

#include "model/profile.h"

static frame_id frame_named(struct profile *p, const char *name, uint32_t flags) {
    function_id f = profile_function(p, &(struct profile_function){.name = profile_string(p, name)});
    return profile_frame(p, &(struct profile_frame){.function = f, .flags = flags});
}

static void add(struct profile *p, stack_id stack, int64_t weight) {
    profile_add_sample(p, &(struct profile_sample){.stack = stack}, &weight);
}

static struct profile *sample_profile(void) {
    struct profile *p = profile_new();
    assert_non_null(p);
    profile_value_type(p, "samples", "count");
    stack_id main_ = profile_stack(p, 0, frame_named(p, "main", 0));
    stack_id eval = profile_stack(p, main_, frame_named(p, "eval", FRAME_INTERNAL));
    stack_id leaf = profile_stack(p, eval, frame_named(p, "leaf", 0));
    add(p, leaf, 3);
    add(p, main_, 1);
    p->quality.samples_taken = 2;
    profile_count_truncated(p, "why", 1);
    return p;
}

static void equal_things_get_equal_ids(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    assert_int_equal(profile_string(p, "x"), profile_string(p, "x"));
    assert_int_not_equal(profile_string(p, "x"), profile_string(p, "y"));
    assert_int_equal(profile_string(p, ""), 0);
    assert_int_equal(frame_named(p, "f", 0), frame_named(p, "f", 0));
    stack_id a = profile_stack(p, 0, frame_named(p, "f", 0));
    assert_int_not_equal(a, 0);
    assert_int_equal(a, profile_stack(p, 0, frame_named(p, "f", 0)));
    struct profile_label l = {.key = profile_string(p, "k"), .number = 4};
    assert_int_equal(profile_labels(p, &l, 1), profile_labels(p, &l, 1));
    assert_int_equal(profile_labels(p, &l, 0), 0);
}

static void text_beyond_the_limit_has_one_name(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    char name[4000];
    memset(name, 'x', sizeof(name));
    profile_limit_text(p, 1 << 20);
    string_id first = profile_string_n(p, name, sizeof(name)), last = 0;
    for (size_t n = 1; n < 1000; n++) {
        memcpy(name, &n, sizeof(n));
        last = profile_string_n(p, name, sizeof(name));
    }
    assert_true(p->text_full);
    assert_string_equal(profile_str(p, last), "[too many names]");
    assert_in_range(p->n_strings, 200, 270);
    memset(name, 'x', sizeof(name));
    assert_int_equal(profile_string_n(p, name, sizeof(name)), first);
    profile_limit_text(p, 0);
    assert_string_equal(profile_str(p, profile_string(p, "a note")), "a note");
    assert_false(p->profile_failed);
}

static void merging_adds_samples_and_quality(void **state) {
    _cleanup_(profile_freep) struct profile *a = sample_profile(), *b = sample_profile();
    b->start_time_ns = 5;
    assert_int_equal(profile_merge(a, b, NULL), 0);
    assert_int_equal(a->n_samples, 4);
    assert_int_equal(a->samples[0].stack, a->samples[2].stack);
    assert_int_equal(a->samples[2].time_ns, 5);
    assert_int_equal(a->quality.samples_taken, 4);
    assert_int_equal(a->quality.n_truncated, 1);
    assert_int_equal(a->quality.truncated[0].count, 2);
}

/* Times come from files, and those from anywhere. */
static void merging_begins_at_the_earlier_of_any_two_times(void **state) {
    _cleanup_(profile_freep) struct profile *a = sample_profile(), *b = sample_profile();
    a->start_time_ns = 1ull << 63;
    assert_int_equal(profile_merge(a, b, NULL), 0);
    assert_int_equal(a->start_time_ns, 0);
    assert_true(a->samples[0].time_ns == 1ull << 63 && a->samples[2].time_ns == 0);
}

static void folding_leaves_out_internal_frames_only(void **state) {
    _cleanup_(profile_freep) struct profile *p = sample_profile();
    _cleanup_(profile_view_free) struct profile_view v = {0};
    assert_int_equal(profile_view(p, (struct profile_view_options){0}, &v, NULL), 0);
    const struct profile *folded = v.p;
    stack_id s = folded->samples[0].stack;
    assert_int_equal(depth_of(folded, s), 2);
    const struct profile_frame *leaf = &folded->frames[folded->stacks[s].frame];
    assert_string_equal(folded->strings[folded->functions[leaf->function].name], "leaf");
    assert_int_equal(profile_value(folded, 0, 0), 3);
}

static void a_view_is_no_copy_when_it_need_not_be_and_one_copy_when_it_must(void **state) {
    _cleanup_(profile_freep) struct profile *p = sample_profile();
    _cleanup_(profile_view_free) struct profile_view same = {0}, both = {0}, again = {0};
    assert_int_equal(profile_view(p, (struct profile_view_options){.internal = true}, &same, NULL), 0);
    assert_ptr_equal(same.p, p);
    assert_int_equal(profile_view(p, (struct profile_view_options){.threads = true}, &both, NULL), 0);
    assert_int_equal(depth_of(both.p, both.p->samples[0].stack), 3); /* its thread, main, leaf */
    assert_int_equal(profile_view(both.p, (struct profile_view_options){0}, &again, NULL), 0);
    assert_ptr_equal(again.p, both.p); /* nothing is internal any more */
    assert_int_equal(again.p->quality.samples_taken, 2);
}

static void stacks_may_be_very_deep(void **state) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    profile_value_type(p, "samples", "count");
    frame_id f = frame_named(p, "f", 0);
    stack_id s = 0;
    for (int i = 0; i < 200000; i++)
        s = profile_stack(p, s, f);
    add(p, s, 1);
    _cleanup_(profile_view_free) struct profile_view v = {0};
    assert_int_equal(profile_view(p, (struct profile_view_options){.threads = true}, &v, NULL), 0);
    assert_int_equal(depth_of(v.p, v.p->samples[0].stack), 200001);
}

/* Every allocation fails in turn: nothing crashes, and the failure is never silent. */
static void no_failed_allocation_goes_unnoticed(void **state) {
    mem_fail_after(-1);
    profile_free(sample_profile());
    long n = mem_fail_after(-1);
    assert_true(n > 10);
    for (long i = 0; i < n; i++) {
        mem_fail_after(i);
        struct profile *p = profile_new();
        bool noticed = !p;
        if (p) {
            profile_value_type(p, "samples", "count");
            stack_id s = profile_stack(p, 0, frame_named(p, "main", 0));
            s = profile_stack(p, s, frame_named(p, "eval", FRAME_INTERNAL));
            s = profile_stack(p, s, frame_named(p, "leaf", 0));
            add(p, s, 3);
            add(p, s, 1);
            profile_count_truncated(p, "why", 1);
            noticed = p->profile_failed || mem_fail_after(-1) <= i;
        }
        mem_fail_after(-1);
        profile_free(p);
        assert_true(noticed);
    }
}

static void rooting_threads_keeps_them_apart_and_loses_nothing(void **state) {
    _cleanup_(profile_freep) struct profile *p = sample_profile();
    _cleanup_(profile_view_free) struct profile_view v = {0};
    stack_id shared = p->samples[0].stack;
    for (uint32_t tid = 7; tid < 9; tid++) {
        thread_id t =
            profile_thread(p, &(struct profile_thread){.pid = 7, .tid = tid, .thread_name = profile_string(p, "w")});
        profile_add_sample(p, &(struct profile_sample){.stack = shared, .thread = t}, &(int64_t){5});
        profile_add_sample(p, &(struct profile_sample){.thread = t}, &(int64_t){1}); /* a thread without a stack */
    }
    assert_int_equal(profile_view(p, (struct profile_view_options){.internal = true, .threads = true}, &v, NULL), 0);
    const struct profile *rooted = v.p;
    assert_int_equal(rooted->n_samples, p->n_samples);
    stack_id a = rooted->samples[2].stack, b = rooted->samples[4].stack;
    assert_int_not_equal(a, b);
    assert_int_equal(depth_of(rooted, a), depth_of(p, shared) + 1);
    assert_int_equal(depth_of(rooted, rooted->samples[3].stack), 1);
    while (rooted->stacks[a].parent)
        a = rooted->stacks[a].parent;
    const struct profile_frame *root = &rooted->frames[rooted->stacks[a].frame];
    assert_string_equal(profile_str(rooted, root->kind), "thread");
    assert_non_null(strstr(profile_str(rooted, rooted->functions[root->function].name), "7"));
}

/* Against a plain search through all that were asked for before. */
static void a_stack_is_one_parent_and_one_frame(void **state) {
    enum { ASKED = 3000, FRAMES = 5 };
    static struct profile_stack asked[ASKED];
    static stack_id got[ASKED];
    _cleanup_(profile_freep) struct profile *p = profile_new();
    uint64_t random = 1;
    for (size_t i = 0; i < ASKED; i++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        size_t back = (random >> 40) % 60; /* mostly recent ones, so that some have many children and some are deep */
        asked[i] = (struct profile_stack){.parent = back < i ? got[i - 1 - back] : 0, .frame = (random >> 33) % FRAMES};
        got[i] = profile_stack(p, asked[i].parent, asked[i].frame);
        if (!asked[i].parent && !asked[i].frame) {
            assert_int_equal(got[i], 0);
            continue;
        }
        assert_int_equal(p->stacks[got[i]].parent, asked[i].parent);
        assert_int_equal(p->stacks[got[i]].frame, asked[i].frame);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(got[k] == got[i], asked[k].parent == asked[i].parent && asked[k].frame == asked[i].frame);
    }
    assert_int_equal(depth_of(p, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_things_get_equal_ids),
        cmocka_unit_test(text_beyond_the_limit_has_one_name),
        cmocka_unit_test(a_stack_is_one_parent_and_one_frame),
        cmocka_unit_test(merging_adds_samples_and_quality),
        cmocka_unit_test(merging_begins_at_the_earlier_of_any_two_times),
        cmocka_unit_test(folding_leaves_out_internal_frames_only),
        cmocka_unit_test(rooting_threads_keeps_them_apart_and_loses_nothing),
        cmocka_unit_test(a_view_is_no_copy_when_it_need_not_be_and_one_copy_when_it_must),
        cmocka_unit_test(stacks_may_be_very_deep),
        cmocka_unit_test(no_failed_allocation_goes_unnoticed),
    };
    return RUN_TESTS(tests);
}
