#include "base/worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"

struct worker {
    pthread_t thread;
    sem_t begin, end;
    int done_fd;
    bool busy;
    const char *name;
    void (*work)(void *ctx); /* NULL: the thread is to end */
    void *ctx;
};

static void await(sem_t *s) {
    while (sem_wait(s) < 0 && errno == EINTR)
        ;
}

static void *run(void *arg) {
    struct worker *w = arg;
    prctl(PR_SET_NAME, w->name);
    for (;;) {
        await(&w->begin);
        if (!w->work)
            return NULL;
        w->work(w->ctx);
        eventfd_write(w->done_fd, 1);
        sem_post(&w->end);
    }
}

static int start_thread(struct worker *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

int worker_new(const char *name, struct worker **ret) {
    struct worker *w = mem_zalloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->name = name;
    w->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sem_init(&w->begin, 0, 0);
    sem_init(&w->end, 0, 0);
    int rc = w->done_fd < 0 ? -errno : start_thread(w);
    if (rc < 0) {
        if (w->done_fd >= 0)
            close(w->done_fd);
        free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

void worker_free(struct worker *w) {
    if (!w)
        return;
    if (w->busy)
        await(&w->end);
    w->work = NULL;
    sem_post(&w->begin);
    pthread_join(w->thread, NULL);
    sem_destroy(&w->begin);
    sem_destroy(&w->end);
    close(w->done_fd);
    free(w);
}

void worker_begin(struct worker *w, void (*work)(void *ctx), void *ctx) {
    w->work = work;
    w->ctx = ctx;
    w->busy = true;
    sem_post(&w->begin);
}

int worker_done_fd(const struct worker *w) {
    return w->done_fd;
}

bool worker_ended(struct worker *w) {
    eventfd_t count;
    if (w->busy && eventfd_read(w->done_fd, &count) < 0)
        return false;
    if (w->busy)
        await(&w->end);
    w->busy = false;
    return true;
}
