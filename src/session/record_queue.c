#include "session/record_queue.h"

#include <string.h>

void record_queue_append(struct record_queue *q, struct queued_record *r) {
    r->next = NULL;
    if (q->last)
        q->last->next = r;
    else
        q->first = r;
    q->last = r;
    q->count++;
    q->bytes += r->size;
}

bool record_queue_push(struct record_queue *q, const void *bytes, size_t size) {
    struct queued_record *r = mem_alloc(sizeof(*r) + size);
    if (!r)
        return false;
    r->size = size;
    memcpy(r->bytes, bytes, size);
    record_queue_append(q, r);
    return true;
}

struct queued_record *record_queue_pop(struct record_queue *q) {
    struct queued_record *r = q->first;
    if (!r)
        return NULL;
    q->first = r->next;
    if (!q->first)
        q->last = NULL;
    q->count--;
    q->bytes -= r->size;
    return r;
}

void record_queue_free(struct record_queue *q) {
    for (struct queued_record *r = record_queue_pop(q); r; r = record_queue_pop(q))
        free(r);
}
