/* What is kept of a file's debug sections is found again, and only of that file as it is. */
#include "elf_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "symbol/unpacked.h"

enum { INFO_BYTES = 2 << 20, AT_NAMES = sizeof(Elf64_Ehdr), AT_HEADERS = 128, AT_INFO = 512 };

static char folder[64], debug[80], source[80];

/* An image with the one section that counts, `info_bytes` of `fill`. */
static struct elf_image image_of(size_t info_bytes, uint8_t fill) {
    static const char names[] = "\0.debug_info\0.shstrtab";
    uint8_t *bytes = mem_zalloc(1, AT_INFO + info_bytes);
    assert_non_null(bytes);
    Elf64_Ehdr h = elf_header(AT_HEADERS, 3);
    Elf64_Shdr s[3] = {{0},
                       {.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = AT_INFO, .sh_size = info_bytes},
                       {.sh_name = 13, .sh_type = SHT_STRTAB, .sh_offset = AT_NAMES, .sh_size = sizeof(names)}};
    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + AT_NAMES, names, sizeof(names));
    memcpy(bytes + AT_HEADERS, s, sizeof(s));
    memset(bytes + AT_INFO, fill, info_bytes);
    struct elf_image image;
    assert_int_equal(elf_image_of(bytes, AT_INFO + info_bytes, &image), 0);
    return image;
}

/* The file that sections are inflated of. */
static struct elf_image map_source(uint8_t fill) {
    struct elf_image image = image_of(64, fill), mapped = elf_map_new(source, image.data, image.size);
    elf_image_close(&image);
    return mapped;
}

/* What every test begins with: a folder, a file, and what that might have become. */
static struct elf_image e, plain;

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/test-unpacked-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(debug, sizeof(debug), "%s/debug", folder);
    snprintf(source, sizeof(source), "%s/source", folder);
    e = map_source(1);
    plain = image_of(INFO_BYTES, 7);
    return setenv("SCRY_CACHE", folder, 1);
}

static int end(void **state) {
    (void)state;
    elf_image_close(&e);
    elf_image_close(&plain);
    return remove_all(folder);
}

enum {
    BOOT_ID = 36,
    AFTER_IMAGE = 56,
    BOOT_AT = 16
}; /* letters; bytes behind an image; where among them the boot is */

/* Changes bytes of a file that was kept; `at` counts from its end when it is negative. */
static void overwrite(const char *path, off_t at, const void *bytes, size_t n) {
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pwrite(fd, bytes, n, at < 0 ? st.st_size + at : at), n);
    close(fd);
}

/* As if the machine had been started anew since. */
static void another_boot(const char *path) {
    overwrite(path, BOOT_AT - AFTER_IMAGE, "00000000-0000-0000-0000-000000000000", BOOT_ID);
}

static void boot_of(const char *path, char ret[BOOT_ID]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(lseek(fd, BOOT_AT - AFTER_IMAGE, SEEK_END) > 0);
    assert_int_equal(read(fd, ret, BOOT_ID), BOOT_ID);
    close(fd);
}

/* How many files there are, and the path of one. */
static size_t kept(char path[512]) {
    DIR *d = opendir(debug);
    size_t n = 0;
    for (struct dirent *one = d ? readdir(d) : NULL; one; one = readdir(d))
        if (one->d_name[0] != '.') {
            n++;
            snprintf(path, 512, "%s/%s", debug, one->d_name);
        }
    if (d)
        closedir(d);
    return n;
}

/* Puts a file there, as long as that (it is sparse) and last used then. */
static void put(const char *name, off_t size, time_t when) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", debug, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

/* Keeps what was made of a file, if it can. */
static void keep(const struct elf_image *of, const struct elf_image *made) {
    struct unpacked *u;
    struct elf_image image;
    uint32_t sum = unpacked_checksum(0, made->data, made->size);
    if (unpacked_new(of, made->size, false, &u) < 0)
        return;
    assert_int_equal(unpacked_write(u, made->data, made->size, 0), 0);
    if (unpacked_finish(u, made->size, &sum, &image) == 0)
        elf_image_close(&image);
    unpacked_close(u);
}

static void what_was_kept_is_found(void **state) {
    (void)state;
    char path[512];
    struct stat st;
    struct elf_image found;
    assert_int_equal(unpacked_find(&e, &found), -ENOENT);
    assert_int_equal(access(debug, F_OK), -1); /* to look for something makes no folder */
    keep(&e, &plain);
    assert_int_equal(kept(path), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(unpacked_find(&e, &found), 0);
    assert_int_equal(found.size, plain.size + AFTER_IMAGE);
    assert_memory_equal(found.data, plain.data, plain.size);
    elf_image_close(&found);
}

static void what_is_small_is_in_memory(void **state) {
    (void)state;
    char path[512];
    struct elf_image small = image_of(1000, 7), made;
    struct unpacked *u;
    assert_int_equal(unpacked_new(&e, small.size, false, &u), 0);
    assert_int_equal(kept(path), 0);
    assert_int_equal(unpacked_write(u, small.data + 100, small.size - 100, 100), 0);
    assert_int_equal(unpacked_write(u, small.data, 100, 0), 0);
    assert_int_equal(unpacked_write(u, small.data, 1, small.size), -EFBIG);
    assert_int_equal(unpacked_write(u, small.data, SIZE_MAX, 1), -EFBIG);
    assert_int_equal(unpacked_finish(u, small.size, &(uint32_t){1}, &made), 0);
    unpacked_close(u);
    assert_true(made.owned);
    assert_int_equal(made.size, small.size);
    assert_memory_equal(made.data, small.data, small.size);
    assert_int_equal(kept(path), 0);
    elf_image_close(&made);
    elf_image_close(&small);
}

static void what_was_not_finished_goes(void **state) {
    (void)state;
    char path[512];
    struct elf_image made;
    struct unpacked *u;
    unpacked_close(NULL);
    assert_int_equal(unpacked_new(&e, plain.size, false, &u), 0);
    assert_int_equal(kept(path), 1);
    assert_non_null(strstr(path, "/new-"));
    assert_int_equal(unpacked_write(u, plain.data, 5000, 0), 0);
    unpacked_close(u);
    assert_int_equal(kept(path), 0);

    assert_int_equal(unpacked_new(&e, plain.size, false, &u), 0);
    assert_int_equal(unpacked_write(u, plain.data, plain.size, 0), 0);
    assert_int_equal(unpacked_finish(u, plain.size, NULL, &made), 0); /* it is to serve this time only */
    unpacked_close(u);
    assert_int_equal(kept(path), 0);
    assert_int_equal(made.size, plain.size);
    assert_memory_equal(made.data, plain.data, plain.size);
    elf_image_close(&made);
}

/* Less than there was room for: .debug_info is not always wanted whole. */
static void it_may_be_shorter_than_it_might_have_been(void **state) {
    (void)state;
    char path[512];
    struct elf_image made, found;
    struct unpacked *u;
    uint32_t sum = unpacked_checksum(0, plain.data, plain.size);
    assert_int_equal(unpacked_new(&e, plain.size + 12345, false, &u), 0);
    assert_int_equal(unpacked_write(u, plain.data, plain.size, 0), 0);
    assert_int_equal(unpacked_finish(u, plain.size, &sum, &made), 0);
    unpacked_close(u);
    elf_image_close(&made);
    assert_int_equal(kept(path), 1);
    another_boot(path);
    assert_int_equal(unpacked_find(&e, &found), 0);
    assert_int_equal(found.size, plain.size + AFTER_IMAGE);
    assert_memory_equal(found.data, plain.data, plain.size);
    elf_image_close(&found);
}

static void a_full_disk_is_told(void **state) {
    (void)state;
    char path[512];
    struct unpacked *u;
    struct rlimit before, small = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(unpacked_new(&e, plain.size, false, &u), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(unpacked_write(u, plain.data, plain.size, 0), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    unpacked_close(u);
    assert_int_equal(kept(path), 0);
    assert_int_equal(unpacked_new(&e, plain.size, true, &u), 0); /* there is memory */
    assert_int_equal(unpacked_write(u, plain.data, plain.size, 0), 0);
    unpacked_close(u);
    assert_int_equal(kept(path), 0);
}

static void a_file_that_has_changed_is_another(void **state) {
    (void)state;
    struct elf_image found;
    keep(&e, &plain);
    elf_image_close(&e);
    usleep(20000); /* times of files are those of the kernel's last tick */
    e = map_source(2);
    assert_int_equal(unpacked_find(&e, &found), -ENOENT);
    struct elf_image nameless = image_of(64, 1);
    assert_int_equal(unpacked_find(&nameless, &found), -ENOENT);
    elf_image_close(&nameless);
}

static void what_is_cut_short_is_not_believed(void **state) {
    (void)state;
    char path[512];
    struct elf_image found;
    const off_t sizes[] = {
        (off_t)plain.size + AFTER_IMAGE - 1, (off_t)plain.size + 1, (off_t)plain.size, AT_INFO, AT_HEADERS + 8, 10, 0};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        keep(&e, &plain);
        assert_int_equal(kept(path), 1);
        assert_int_equal(truncate(path, sizes[i]), 0);
        assert_int_equal(unpacked_find(&e, &found), -ENOENT);
        assert_int_equal(kept(path), 0); /* the next one need not look at it */
    }
}

/* The next boot sums it up, once. */
static void what_was_kept_outlives_the_boot(void **state) {
    (void)state;
    char path[512], before[BOOT_ID], after[BOOT_ID];
    struct elf_image found;
    keep(&e, &plain);
    assert_int_equal(kept(path), 1);
    boot_of(path, before);
    another_boot(path);
    assert_int_equal(unpacked_find(&e, &found), 0);
    assert_memory_equal(found.data, plain.data, plain.size);
    elf_image_close(&found);
    boot_of(path, after);
    assert_memory_equal(before, after, BOOT_ID);
    overwrite(path, AT_INFO + 5, "x", 1); /* nothing looks again */
    assert_int_equal(unpacked_find(&e, &found), 0);
    elf_image_close(&found);
}

/* What a power cut leaves: pages that never came to be on disk are zeros. And bits may turn over. */
static void what_another_boot_left_broken_is_not_believed(void **state) {
    (void)state;
    static const struct {
        off_t at, zeros; /* from the end when negative; -1 zeros = all, 0 = a byte is another */
    } broken[] = {{0, -1},
                  {0, 4096},
                  {1 << 20, 4096},
                  {INFO_BYTES, AT_INFO},
                  {-AFTER_IMAGE, AFTER_IMAGE},
                  {AT_INFO + 99, 0},
                  {0, 0},
                  {-AFTER_IMAGE, 0},     /* what it is, */
                  {8 - AFTER_IMAGE, 0},  /* … its size, */
                  {52 - AFTER_IMAGE, 0}, /* … its checksum */
                  {-1, 0}};
    char path[512];
    struct elf_image found;
    uint8_t *zeros = mem_zalloc(1, INFO_BYTES + AT_INFO + AFTER_IMAGE);
    assert_non_null(zeros);
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        keep(&e, &plain);
        assert_int_equal(kept(path), 1);
        another_boot(path);
        if (broken[i].zeros == 0)
            overwrite(path, broken[i].at, "\x5a", 1);
        else
            overwrite(path, broken[i].at, zeros,
                      broken[i].zeros > 0 ? (size_t)broken[i].zeros : INFO_BYTES + AT_INFO + AFTER_IMAGE);
        assert_int_equal(unpacked_find(&e, &found), -ENOENT);
        assert_int_equal(kept(path), 0);
    }
    free(zeros);
}

static void a_folder_that_others_write_to_is_not_used(void **state) {
    (void)state;
    char path[512];
    struct elf_image found;
    keep(&e, &plain);
    assert_int_equal(chmod(debug, 0770), 0);
    assert_int_equal(unpacked_find(&e, &found), -ENOENT);
    assert_int_equal(chmod(debug, 0700), 0);
    assert_int_equal(kept(path), 1);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(unpacked_find(&e, &found), -ENOENT);
    setenv("SCRY_CACHE", "", 1);
    assert_int_equal(unpacked_find(&e, &found), -ENOENT);
    unlink(path);
    keep(&e, &plain);
    assert_int_equal(kept(path), 0);
}

static void what_is_of_no_use_any_more_goes(void **state) {
    (void)state;
    char path[512];
    time_t now = time(NULL);
    struct elf_image small = image_of(1000, 7);
    keep(&e, &small);
    assert_int_equal(kept(path), 0);
    mkdir(debug, 0700);
    put("00000000-0000-0000-0000-000000000000-1-2-3-4-5", 10, now); /* of a scry that kept nothing longer than a boot */
    put("new-1-2", 10, now - 7200);                                 /* of a scry that was killed */
    put("new-3-4", 10, now);                                        /* of one that writes */
    put("notes-of-mine", 10, now - 7200);                           /* of somebody who did not know what is kept here */
    put("new-car", 10, now - 7200);
    keep(&e, &plain);
    assert_int_equal(kept(path), 4);
    put("new-1-2", 0, now - 7200);
    keep(&e, &plain);
    assert_int_equal(kept(path), 4);
    elf_image_close(&small);
}

static void what_was_not_used_for_longest_makes_room(void **state) {
    (void)state;
    char path[512], name[128];
    struct elf_image found;
    keep(&e, &plain);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "kept-%d-1-2-3-4-5", i);
        put(name, 64 << 20, 1000 + i);
    }
    keep(&e, &plain); /* it and the present one: the oldest goes */
    assert_int_equal(kept(path), 4);
    snprintf(path, sizeof(path), "%s/kept-0-1-2-3-4-5", debug);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(unpacked_find(&e, &found), 0);
    elf_image_close(&found);
}

static void memory_may_fail(void **state) {
    (void)state;
    char path[512];
    struct elf_image found;
    keep(&e, &plain);
    assert_int_equal(kept(path), 1);
    for (long n = 0; n < 12; n++) {
        another_boot(path);
        mem_fail_after(n);
        if (unpacked_find(&e, &found) == 0)
            elf_image_close(&found);
        mem_fail_after(-1);
        assert_int_equal(kept(path), 1); /* it is not what is broken */
        mem_fail_after(n);
        keep(&e, &plain);
    }
    mem_fail_after(-1);
    assert_int_equal(kept(path), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_kept_is_found, begin, end),
        cmocka_unit_test_setup_teardown(what_is_small_is_in_memory, begin, end),
        cmocka_unit_test_setup_teardown(what_was_not_finished_goes, begin, end),
        cmocka_unit_test_setup_teardown(it_may_be_shorter_than_it_might_have_been, begin, end),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_has_changed_is_another, begin, end),
        cmocka_unit_test_setup_teardown(what_is_cut_short_is_not_believed, begin, end),
        cmocka_unit_test_setup_teardown(what_was_kept_outlives_the_boot, begin, end),
        cmocka_unit_test_setup_teardown(what_another_boot_left_broken_is_not_believed, begin, end),
        cmocka_unit_test_setup_teardown(a_folder_that_others_write_to_is_not_used, begin, end),
        cmocka_unit_test_setup_teardown(what_is_of_no_use_any_more_goes, begin, end),
        cmocka_unit_test_setup_teardown(what_was_not_used_for_longest_makes_room, begin, end),
        cmocka_unit_test_setup_teardown(memory_may_fail, begin, end),
    };
    return RUN_TESTS(tests);
}
