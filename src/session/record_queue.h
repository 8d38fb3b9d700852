/* Records of the sampler that wait to be taken up again, oldest first. Private to session/.
 * May use: base/.
 * Must not: know what is in them. */
#pragma once

#include <stdint.h>

#include "base/mem.h"

struct queued_record {
    struct queued_record *next;
    size_t size;
    _Alignas(8) uint8_t bytes[];
};

struct record_queue { /* zero-initialise */
    struct queued_record *first, *last;
    size_t count, bytes;
};

/* Appends a copy. False when memory is out. */
bool record_queue_push(struct record_queue *q, const void *bytes, size_t size);
/* Appends one that was taken out of a queue. */
void record_queue_append(struct record_queue *q, struct queued_record *r);
/* Takes the oldest out, which the caller frees; NULL when there is none. */
struct queued_record *record_queue_pop(struct record_queue *q);
void record_queue_free(struct record_queue *q);
