/* Files mapped for reading. A mapped file that somebody truncates answers a read with SIGBUS, which would
 * end us; copying every file instead would cost its size in memory. So the addresses of our mappings are
 * known to a signal handler, which puts zeros where the file ended: all readers check what they read, and
 * zeros are merely broken. A SIGBUS anywhere else goes where it went before.
 *
 * After each file there is a page of zeros: a string that had its end when it was looked at, and has lost it since,
 * ends there. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "symbol/internal.h"

enum { MAX_GUARDED = 8192, PAGE = 4096 };

static struct {
    _Atomic uintptr_t start, end; /* start 0 = free; end is written first and read last */
} guarded[MAX_GUARDED];
static atomic_uint n_guarded; /* slots ever used */
static struct sigaction before;
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;

/* Everything from the page on is beyond the end of the file, so all of it is replaced at once. */
static bool replace(uintptr_t at) {
    unsigned n = atomic_load(&n_guarded);
    for (unsigned i = 0; i < n; i++) {
        uintptr_t start = atomic_load(&guarded[i].start), end = atomic_load(&guarded[i].end);
        if (!start || at < start || at >= end)
            continue;
        uintptr_t page = at & ~(uintptr_t)(PAGE - 1);
        return mmap((void *)page, end - page, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                    0) != MAP_FAILED;
    }
    return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int saved = errno;
    bool sent = info->si_code <= 0; /* by somebody, not by an access */
    if (sent || !replace((uintptr_t)info->si_addr)) {
        sigaction(number, &before, NULL); /* a faulty access is repeated and meets it */
        if (sent)
            raise(number);
    }
    errno = saved;
}

/* Others may have put theirs in the place of ours since (test frameworks do). */
static void install(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART}, present;
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&installing);
    if (sigaction(SIGBUS, NULL, &present) == 0 &&
        (!(present.sa_flags & SA_SIGINFO) || present.sa_sigaction != on_bus_error)) {
        before = present;
        sigaction(SIGBUS, &action, NULL);
    }
    pthread_mutex_unlock(&installing);
}

/* Without a free slot the mapping is used unguarded. */
static void guard(uintptr_t start, uintptr_t end) {
    for (unsigned i = 0; i < MAX_GUARDED; i++) {
        uintptr_t expected = 0;
        if (!atomic_compare_exchange_strong(&guarded[i].start, &expected, UINTPTR_MAX))
            continue; /* UINTPTR_MAX: taken, covers nothing yet */
        atomic_store(&guarded[i].end, end);
        atomic_store(&guarded[i].start, start);
        for (unsigned n = atomic_load(&n_guarded); n <= i;)
            atomic_compare_exchange_weak(&n_guarded, &n, i + 1);
        return;
    }
}

static void forget(uintptr_t start) {
    unsigned n = atomic_load(&n_guarded);
    for (unsigned i = 0; i < n; i++)
        if (atomic_load(&guarded[i].start) == start) {
            atomic_store(&guarded[i].start, 0);
            return;
        }
}

static size_t whole_pages(size_t size) {
    return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static void *map_with_zeros_after(int fd, size_t size) {
    size_t pages = whole_pages(size);
    void *p = mmap(NULL, pages + PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mmap(p, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) != MAP_FAILED)
        return p;
    int saved = errno;
    munmap(p, pages + PAGE);
    errno = saved;
    return MAP_FAILED;
}

int mapping_open(int fd, const uint8_t **ret, size_t *ret_size, struct elf_origin *ret_origin) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size <= 0)
        return -ENOEXEC;
    void *p = map_with_zeros_after(fd, (size_t)st.st_size);
    if (p == MAP_FAILED)
        return -errno;
    install();
    guard((uintptr_t)p, (uintptr_t)p + whole_pages((size_t)st.st_size));
    *ret = p;
    *ret_size = (size_t)st.st_size;
    *ret_origin = (struct elf_origin){st.st_dev, st.st_ino, clock_ns_of(&st.st_mtim), clock_ns_of(&st.st_ctim)};
    return 0;
}

void mapping_close(const uint8_t *data, size_t size) {
    forget((uintptr_t)data);
    munmap((void *)(uintptr_t)data, whole_pages(size) + PAGE);
}
