/* The control group that is captured, under its name: a service that is restarted has it removed and made anew, which the
 * kernel takes for another. Private to session/.
 * May use: target/, model/.
 * Must not: know sources; whoever samples is given the descriptor. */
#pragma once

#include "model/profile.h"
#include "target/target.h"

struct group { /* zero-initialise */
    const char *name;
    int fd; /* of the one that is sampled, or was last; -1 before group_open() */
    uint64_t device, inode;
    uint64_t gone_since_ns; /* 0 = it is there */
    unsigned times_anew;
};

/* 0, or negative errno with a sentence. `name` must live as long. */
int group_open(struct group *g, const char *name, struct err *err);
void group_close(struct group *g);
/* Looks whether it is there and still the same. Returns whether `fd` is of another one than before. */
bool group_look(struct group *g, uint64_t now_ns);
/* Says what became of it. `samples` were taken. */
void group_note(struct group *g, struct profile *p, uint64_t samples, uint64_t began_ns);
