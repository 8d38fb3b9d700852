/* Which files stay open, and what is held of them. */
#include "../unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "session/files.h"

enum { MANY = 200 };

static struct {
    struct profile *profile;
    struct unwind_rule *rules;
    struct tables *tables;
    struct session_files files;
    struct target *target;
    char directory[32];
    struct target_mapping copies[MANY]; /* of a program */
} world;

static void add_copy(const struct buf *program, unsigned i) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%u", world.directory, i);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, program->data, program->len), program->len);
    assert_int_equal(fstat(fd, &st), 0);
    void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(at != MAP_FAILED);
    world.copies[i] = (struct target_mapping){.start = (uintptr_t)at,
                                              .end = (uintptr_t)at + 4096,
                                              .device = st.st_dev,
                                              .inode = st.st_ino,
                                              .path = mem_strdup(path)};
    close(fd);
}

static int set_up(void **state) {
    _cleanup_(buf_free) struct buf program = {0};
    snprintf(world.directory, sizeof(world.directory), "/tmp/test_files.XXXXXX");
    assert_non_null(mkdtemp(world.directory));
    assert_int_equal(file_read("/bin/true", 16 << 20, &program, NULL), 0);
    for (unsigned i = 0; i < MANY; i++)
        add_copy(&program, i);
    world.profile = profile_new();
    world.rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*world.rules));
    assert_int_equal(tables_new(&(struct tables_memory){.rules = world.rules}, &world.tables), 0);
    assert_int_equal(session_files_init(&world.files, world.profile, world.tables), 0);
    assert_int_equal(target_open(getpid(), &world.target, NULL), 0);
    return 0;
}

static int tear_down(void **state) {
    for (unsigned i = 0; i < MANY; i++) {
        unlink(world.copies[i].path);
        munmap((void *)world.copies[i].start, 4096);
        free((void *)world.copies[i].path);
    }
    rmdir(world.directory);
    session_files_free(&world.files);
    tables_free(world.tables);
    free(world.rules);
    target_close(world.target);
    profile_free(world.profile);
    return 0;
}

static struct session_file *use(unsigned i) {
    struct session_file *f = session_files_get(&world.files, world.target, &world.copies[i]);
    assert_non_null(f);
    assert_non_null(f->symbols);
    session_file_use(&world.files, f);
    return f;
}

static void files_that_nobody_has_mapped_are_closed_in_the_end(void **state) {
    struct session_file *stays = use(0);
    assert_true(session_file_load_tables(&world.files, stays));
    u64 pages = tables_statistics(world.tables).pages;
    for (unsigned i = 1; i < MANY; i++) {
        struct session_file *f = use(i);
        assert_true(session_file_load_tables(&world.files, f));
        session_file_name(&world.files, f, 4096 * 3, true);
        session_file_leave(&world.files, f);
        tables_reclaim(world.tables);
    }
    assert_true(world.files.n_files < MANY / 2);
    assert_true(world.files.n_frames <= world.files.n_files);
    assert_int_equal(tables_statistics(world.tables).pages, pages * world.files.n_files);
    assert_ptr_equal(use(0), stays);
    assert_int_equal(stays->users, 2);
    session_file_leave(&world.files, stays);
    session_file_leave(&world.files, stays);
}

static void a_file_that_is_mapped_again_soon_was_not_closed(void **state) {
    struct session_file *f = use(1);
    session_file_leave(&world.files, f);
    for (unsigned i = 2; i < 20; i++)
        session_file_leave(&world.files, use(i));
    assert_ptr_equal(use(1), f);
    session_file_leave(&world.files, f);
    size_t idle = 0;
    for (size_t i = 0; i < world.files.n_files; i++)
        idle += world.files.files[i]->users == 0;
    assert_int_equal(world.files.n_idle, idle);
}

static void names_are_the_same_after_a_file_was_closed(void **state) {
    struct session_file *f = use(1);
    struct name_ref ref = session_file_name(&world.files, f, 4096 * 3, true);
    frame_id frame = f->frames[ref.first];
    session_file_leave(&world.files, f);
    for (unsigned i = 2; i < MANY; i++)
        session_file_leave(&world.files, use(i));
    f = use(1);
    assert_int_equal(f->n_frames, 0); /* it was closed */
    ref = session_file_name(&world.files, f, 4096 * 3, true);
    assert_int_equal(f->frames[ref.first], frame);
    session_file_leave(&world.files, f);
}

static void what_is_held_is_counted(void **state) {
    struct session_file *f = use(3);
    session_file_name(&world.files, f, 4096 * 2, true);
    session_files_release(&world.files);
    size_t held = 0, loose;
    for (size_t i = 0; i < world.files.n_files; i++)
        held += world.files.files[i]->held;
    assert_int_equal(world.files.held, held);
    assert_int_equal(f->held, symbol_file_held(f->symbols, &loose));
    session_file_leave(&world.files, f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_nobody_has_mapped_are_closed_in_the_end),
        cmocka_unit_test(a_file_that_is_mapped_again_soon_was_not_closed),
        cmocka_unit_test(names_are_the_same_after_a_file_was_closed),
        cmocka_unit_test(what_is_held_is_counted),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
