/* Processes of our own making, which say themselves what the reader must find. */
#include "../unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "target/internal.h"

static volatile sig_atomic_t *shared; /* seen by both sides */

static void on_signal(int signal) {
    shared[0]++;
}

static pid_t start(void (*run)(void)) {
    shared[0] = shared[1] = 0;
    pid_t pid = fork();
    if (pid == 0) {
        run();
        _exit(0);
    }
    while (!shared[1])
        usleep(1000);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void wait_for_signals(void) {
    signal(SIGUSR1, on_signal);
    shared[1] = 1;
    for (;;)
        pause();
}

static void spin_with_known_registers(void) {
    shared[1] = 1;
    __asm__ volatile(
        "mov $0x1111, %%rbx\n mov $0x2222, %%r12\n mov $0x3333, %%r15\n mov $0x4444, %%rdx\n 1: pause\n jmp 1b" ::
            : "rbx", "r12", "r15", "rdx");
}

static struct target *open_live(pid_t pid) {
    struct target *t = NULL;
    struct err err = {0};
    int rc = target_open(pid, &t, &err);
    if (rc < 0)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return t;
}

static void registers_are_those_the_thread_holds(void **state) {
    pid_t pid = start(spin_with_known_registers);
    usleep(20000);
    struct target *t = open_live(pid);
    assert_int_equal(target_stop(t, NULL), 0);
    struct target_registers r;
    assert_int_equal(target_thread_registers(t, pid, &r, NULL), 0);
    assert_int_equal(r.value[3], 0x1111);
    assert_int_equal(r.value[12], 0x2222);
    assert_int_equal(r.value[15], 0x3333);
    assert_int_equal(r.value[1], 0x4444);
    assert_int_equal(r.tls_base, (uint64_t)(uintptr_t)__builtin_thread_pointer()); /* kept by fork */
    assert_false(r.in_syscall);
    target_close(t);
    end(pid);
}

static void signals_sent_while_stopped_arrive_afterwards(void **state) {
    pid_t pid = start(wait_for_signals);
    struct target *t = open_live(pid);
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(target_stop(t, NULL), 0);
        kill(pid, SIGUSR1);
        usleep(2000);
        assert_int_equal(shared[0], i - 1);
        target_resume(t);
        for (int k = 0; k < 1000 && shared[0] < i; k++)
            usleep(1000);
        assert_int_equal(shared[0], i);
    }
    target_close(t);
    end(pid);
}

static void killing_the_stopper_lets_the_target_run_on(void **state) {
    pid_t pid = start(wait_for_signals);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t stopper = fork();
    if (stopper == 0) {
        struct target *t = NULL;
        if (target_open(pid, &t, NULL) == 0 && target_stop(t, NULL) == 0 && write(ready[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    kill(pid, SIGUSR1);
    usleep(5000);
    assert_int_equal(shared[0], 0);
    end(stopper);
    for (int k = 0; k < 1000 && !shared[0]; k++)
        usleep(1000);
    assert_int_equal(shared[0], 1);
    close(ready[0]);
    close(ready[1]);
    end(pid);
}

static void a_process_stopped_by_its_user_stays_stopped(void **state) {
    pid_t pid = start(wait_for_signals);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
    struct target *t = open_live(pid);
    assert_int_equal(target_stop(t, NULL), 0);
    target_resume(t);
    usleep(20000);
    assert_int_equal(target_thread_state(t, pid), 'T');
    target_close(t);
    end(pid);
}

static void memory_is_what_the_process_holds(void **state) {
    static char bytes[20000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 31);
    pid_t pid = start(wait_for_signals);
    struct target *t = open_live(pid);
    static char got[sizeof(bytes)];
    for (int still = 0; still < 2; still++) {
        assert_int_equal(target_read(t, (uintptr_t)bytes, got, sizeof(got)), 0);
        assert_memory_equal(got, bytes, sizeof(got));
        assert_int_equal(target_read(t, (uintptr_t)bytes + 4000, got, 3000), 0);
        assert_memory_equal(got, bytes + 4000, 3000);
        assert_int_equal(target_read(t, 16, got, 8), -EFAULT);
        if (!still)
            assert_int_equal(target_stop(t, NULL), 0);
    }
    target_resume(t);
    end(pid);
    assert_int_equal(target_read(t, (uintptr_t)bytes, got, 8), -ESRCH);
    target_close(t);
}

static void a_replaced_file_is_opened_as_it_was(void **state) {
    char path[] = "/tmp/scry test \nXXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(pwrite(fd, "old", 3, 0), 3);
    void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(pwrite(fd, "new", 3, 0), 3);
    close(fd);
    pid_t pid = start(wait_for_signals);
    struct target *t = open_live(pid);
    const struct target_mapping *m = target_find_mapping(t, (uintptr_t)at);
    assert_non_null(m);
    assert_string_equal(m->path, path);
    assert_true(m->deleted);
    char got[4] = "";
    fd = target_open_mapping(t, m, NULL);
    if (fd >= 0) /* needs CAP_CHECKPOINT_RESTORE */
        assert_int_equal(pread(fd, got, 3, 0), 3);
    assert_string_equal(got, fd >= 0 ? "old" : "");
    close(fd);
    unlink(path);
    munmap(at, 4096);
    target_close(t);
    end(pid);
}

static void what_cannot_be_read_is_refused_by_name(void **state) {
    struct target *t = NULL;
    struct err err = {0};
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    assert_int_equal(target_open(pid, &t, &err), -ESRCH);
    assert_non_null(strstr(err.text, "zombie"));
    waitpid(pid, NULL, 0);
    assert_int_equal(target_open(pid, &t, &err), -ESRCH);
    assert_non_null(strstr(err.text, "no process"));
    struct forbidden f = {.pid = 1, .comm = "x", .owner = "a", .self = "b", .same_user = true, .yama = 1};
    assert_int_equal(forbidden_sentence(&f, &err), -EPERM);
    assert_non_null(strstr(err.text, "ptrace_scope is 1"));
    f.capable = f.confined = true;
    forbidden_sentence(&f, &err);
    assert_non_null(strstr(err.text, "user namespace"));
    f.same_user = false;
    forbidden_sentence(&f, &err);
    assert_string_equal(err.text, "Process 1 (x) belongs to a, and b lacks CAP_DAC_READ_SEARCH");
    f.capable = false;
    forbidden_sentence(&f, &err);
    assert_string_equal(err.text, "Process 1 (x) belongs to a, and b lacks CAP_SYS_PTRACE");
}

static void one_that_ended_has_its_name_and_nothing_else(void **state) {
    _cleanup_(target_closep) struct target *t = NULL;
    (void)state;
    assert_int_equal(target_open_ended(4711, "ba\033sh", NULL, 0, NULL, &t, NULL), 0);
    assert_string_equal(target_get_info(t)->comm, "ba?sh");
}

static void containers_are_known_by_their_cgroup(void **state) {
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    const char *const cases[][2] = {
        {"0::/system.slice/docker-" ID ".scope\n", "0123456789ab"},
        {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope\n", "0123456789ab"},
        {"0::/machine.slice/libpod-conmon-" ID ".scope\n", ""},
        {"0::/machine.slice/machine-my\\x2dbox.scope\n", "my-box"},
        {"4:memory:/docker/" ID "\n0::/\n", "0123456789ab"},
        {"0::/user.slice/user-0.slice\n", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char got[128];
        container_of_cgroup(cases[i][0], got, sizeof(got));
        assert_string_equal(got, cases[i][1]);
    }
}

/* ---- what /proc says ---- */

static void write_status(int dir_fd, const char *name, const char *ids) {
    _cleanup_(buf_free) struct buf status = {0};
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    buf_adds(&status, "Name:\tx\nTgid:\t10\nPPid:\t9\nUid:\t5\t6\t7\t8\nGroups:\t");
    for (unsigned i = 0; i < 65536; i++)
        buf_addf(&status, "%u ", 4000000000u + i);
    buf_addf(&status, "\nNSpid:\t%s\nNSpgid:\t10\t1\n", ids);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, status.data, status.len), status.len);
    close(fd);
}

/* A directory as /proc shows a process of a container: it is 10 here and 2 there, and its thread 11 is 3. */
static int make_proc_of_many_groups(char *path) {
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0 && mkdirat(fd, "task", 0700) == 0 && mkdirat(fd, "task/11", 0700) == 0);
    write_status(fd, "status", "10\t2");
    write_status(fd, "task/11/status", "11\t3");
    return fd;
}

static void ids_in_a_namespace_are_found_behind_many_groups(void **state) {
    char path[] = "/tmp/scry-proc-XXXXXX";
    static const char *const names[] = {"task/11/status", "status"};
    struct target t = {.pid = 10, .proc_fd = make_proc_of_many_groups(path), .memory_fd = -1};
    assert_int_equal(target_get_info(&t)->ns_pid, 2);
    assert_int_equal(target_get_info(&t)->parent, 9);
    assert_int_equal(target_get_info(&t)->uid, 6);
    assert_int_equal(target_thread_inner_id(&t, 11), 3);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unlinkat(t.proc_fd, names[i], 0);
    unlinkat(t.proc_fd, "task/11", AT_REMOVEDIR);
    unlinkat(t.proc_fd, "task", AT_REMOVEDIR);
    rmdir(path);
    target_info_clear(&t.info);
    close(t.proc_fd);
}

/* ---- cores ---- */

/* tests/fuzz/corpus/core/small: register n holds 100 + n in the kernel's order; see elfcore.h. */
static void a_core_is_read_plain_and_compressed(void **state) {
    const char *const names[] = {CORPUS "/small", CORPUS "/small.gz", CORPUS "/small.zst"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct target *t = NULL;
        struct err err = {0};
        assert_int_equal(target_open_core(names[i], "", &t, &err), 0);
        struct target_registers r;
        assert_int_equal(target_thread_registers(t, 77, &r, NULL), 0);
        assert_int_equal(r.value[16], 116); /* rip */
        assert_int_equal(r.value[7], 119);  /* rsp */
        assert_int_equal(r.tls_base, 121);
        assert_string_equal(target_get_info(t)->command_line, "prog arg");
        char got[17] = "";
        assert_int_equal(target_read(t, 0x400000, got, 16), 0);
        assert_string_equal(got, "0123456789abcdef");
        assert_int_equal(target_read(t, 0x500000, got, 16), -EFAULT); /* left out, and the file is not here */
        assert_string_equal(target_find_mapping(t, 0x501000)->path, "/no/such");
        assert_int_equal(target_find_mapping(t, 0x501000)->offset, 0x1000); /* of its start */
        assert_false(target_find_mapping(t, 0x501000)->assumed);            /* the core has its header */
        target_close(t);
    }
}

/* A core of one thread that had `count` files of a page each mapped side by side, from 0x10000000 on. */
static void write_core_of_files(const char *path, const char *directory, unsigned count) {
    _cleanup_(buf_free) struct buf notes = {0}, files = {0};
    const uint64_t head[] = {count, 4096};
    unsigned char status[336] = {0};
    status[32] = 77; /* its id */
    buf_add(&files, head, sizeof(head));
    for (uint64_t at = 0x10000000; at < 0x10000000 + 4096ull * count; at += 4096)
        buf_add(&files, (uint64_t[]){at, at + 4096, 0}, 24);
    for (unsigned i = 0; i < count; i++) {
        buf_addf(&files, "%s/%u", directory, i);
        buf_addc(&files, '\0');
    }
    while (files.len % 4)
        buf_addc(&files, '\0');
    buf_add(&notes, (uint32_t[]){5, sizeof(status), NT_PRSTATUS}, 12);
    buf_add(&notes, "CORE\0\0\0", 8);
    buf_add(&notes, status, sizeof(status));
    buf_add(&notes, (uint32_t[]){5, (uint32_t)files.len, NT_FILE}, 12);
    buf_add(&notes, "CORE\0\0\0", 8);
    buf_add(&notes, files.data, files.len);
    Elf64_Ehdr h = {.e_type = ET_CORE,
                    .e_machine = EM_X86_64,
                    .e_version = EV_CURRENT,
                    .e_phoff = sizeof(h),
                    .e_ehsize = sizeof(h),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 1};
    memcpy(h.e_ident, (unsigned char[]){0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, 7);
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = sizeof(h) + sizeof(note), .p_filesz = notes.len};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &h, sizeof(h)) + write(fd, &note, sizeof(note)), sizeof(h) + sizeof(note));
    assert_int_equal(write(fd, notes.data, notes.len), notes.len);
    close(fd);
}

static void a_core_may_name_more_files_than_may_be_open(void **state) {
    enum { COUNT = 300, MAY_BE_OPEN = 64 };
    char directory[] = "/tmp/scry-core-XXXXXX", path[64], text[16];
    assert_non_null(mkdtemp(directory));
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%u", directory, i);
        snprintf(text, sizeof(text), "file %04u", i);
        assert_int_equal(file_write(path, text, strlen(text), NULL), 0);
    }
    snprintf(path, sizeof(path), "%s/core", directory);
    write_core_of_files(path, directory, COUNT);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = MAY_BE_OPEN, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct target *t = NULL;
    assert_int_equal(target_open_core(path, "", &t, NULL), 0);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < COUNT; i++) {
            char got[16] = "", expected[16];
            snprintf(expected, sizeof(expected), "file %04u", i);
            assert_int_equal(target_read(t, 0x10000000 + 4096ull * i, got, strlen(expected)), 0);
            assert_string_equal(got, expected);
            int fd = target_open_mapping(t, target_find_mapping(t, 0x10000000 + 4096ull * i), NULL);
            assert_true(fd >= 0);
            assert_int_equal(pread(fd, got, sizeof(got), 0), strlen(expected));
            assert_string_equal(got, expected);
            close(fd);
        }
    /* What has another file's place now is not read. */
    snprintf(path, sizeof(path), "%s/7", directory);
    assert_int_equal(file_write(path, "another", 7, NULL), 0);
    assert_true(target_open_mapping(t, target_find_mapping(t, 0x10000000 + 4096 * 7), NULL) < 0);
    target_close(t);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%u", directory, i);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/core", directory);
    unlink(path);
    rmdir(directory);
}

static void the_mount_of_control_groups_is_found(void **state) {
    char where[64];
    assert_true(cgroup_mount("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                             "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                             "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n",
                             where, sizeof(where)));
    assert_string_equal(where, "/sys/fs/cgroup/unified");
    assert_true(cgroup_mount("41 31 0:38 / /a\\040b\\134c rw - cgroup2 x rw", where, sizeof(where)));
    assert_string_equal(where, "/a b\\c");
    assert_true(cgroup_mount("41 31 0:38 / /a\\04 rw - cgroup2 x rw", where, sizeof(where)));
    assert_string_equal(where, "/a\\04");
    assert_false(cgroup_mount("", where, sizeof(where)));
    assert_false(cgroup_mount("\n\n - cgroup2 \n41 - cgroup2 x rw\n", where, sizeof(where)));
    assert_false(cgroup_mount("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", where, sizeof(where)));
    assert_false(cgroup_mount("41 31 0:38 / /much/too/long rw - cgroup2 x rw\n", where, 8));
}

static void what_is_no_control_group_is_refused_with_advice(void **state) {
    struct err err = {0};
    assert_true(target_open_cgroup("/no/such/group", &err) < 0);
    assert_non_null(strstr(err.text, "/no/such/group"));
    assert_true(strlen(err.advice) > 0);
    assert_true(target_open_cgroup("/proc", &err) < 0);
    assert_non_null(strstr(err.text, "/proc"));
}

/* The last piece of what is unpacked is as large as a piece may be. */
static void a_compressed_core_may_end_with_a_full_buffer(void **state) {
    enum { SIZE = 1 << 20, MAX_PACKED = SIZE };
    char path[] = "/tmp/scry-core-XXXXXX";
    char *plain = mem_zalloc(1, SIZE), *packed = mem_alloc(MAX_PACKED);
    int small = open(CORPUS "/small", O_RDONLY), fd = mkstemp(path);
    assert_true(plain && packed && small >= 0 && fd >= 0 && read(small, plain, SIZE) > 0);
    size_t n = ZSTD_compress(packed, MAX_PACKED, plain, SIZE, 1);
    assert_false(ZSTD_isError(n));
    assert_int_equal(write(fd, packed, n), n);
    struct target *t = NULL;
    struct err err = {0};
    int rc = target_open_core(path, "", &t, &err);
    unlink(path);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    target_close(t);
    close(small);
    close(fd);
    free(plain);
    free(packed);
}

static void a_process_that_ended_has_the_name_it_had(void **state) {
    (void)state;
    struct target *t;
    assert_int_equal(target_open_ended(7, "read\nlink", NULL, 0, NULL, &t, NULL), 0);
    assert_string_equal(target_get_info(t)->comm, "read?link");
    target_close(t);
}

int main(void) {
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_are_those_the_thread_holds),
        cmocka_unit_test(signals_sent_while_stopped_arrive_afterwards),
        cmocka_unit_test(killing_the_stopper_lets_the_target_run_on),
        cmocka_unit_test(a_process_stopped_by_its_user_stays_stopped),
        cmocka_unit_test(memory_is_what_the_process_holds),
        cmocka_unit_test(a_replaced_file_is_opened_as_it_was),
        cmocka_unit_test(what_cannot_be_read_is_refused_by_name),
        cmocka_unit_test(one_that_ended_has_its_name_and_nothing_else),
        cmocka_unit_test(containers_are_known_by_their_cgroup),
        cmocka_unit_test(ids_in_a_namespace_are_found_behind_many_groups),
        cmocka_unit_test(a_core_is_read_plain_and_compressed),
        cmocka_unit_test(a_core_may_name_more_files_than_may_be_open),
        cmocka_unit_test(the_mount_of_control_groups_is_found),
        cmocka_unit_test(what_is_no_control_group_is_refused_with_advice),
        cmocka_unit_test(a_compressed_core_may_end_with_a_full_buffer),
        cmocka_unit_test(a_process_that_ended_has_the_name_it_had),
    };
    return RUN_TESTS(tests);
}
