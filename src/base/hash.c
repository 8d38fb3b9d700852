#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

struct hash_slot {
    uint32_t hash;
    uint32_t id_plus_1; /* 0 = free */
};

struct u64_entry {
    uint64_t key, value;
    bool used;
};

static uint64_t secret;

/* From the random bytes that the kernel gives every process; before there is a second thread. */
__attribute__((constructor)) static void draw_secret(void) {
    const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
    if (random)
        memcpy(&secret, random, sizeof(secret));
}

uint64_t hash_secret(void) {
    return secret;
}

static uint64_t hash_from(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    h ^= 0xCBF29CE484222325ull ^ n;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        h = hash_mix(h, v);
    }
    uint64_t tail = 0;
    if (n) /* else there may be nothing to point to */
        memcpy(&tail, p, n);
    return hash_mix(h, tail);
}

uint64_t hash_bytes(const void *data, size_t n) {
    return hash_from(secret, data, n);
}

uint64_t hash_lasting(const void *data, size_t n) {
    return hash_from(0, data, n);
}

/* Only the high half of a hash is kept, so both looking up and growing start from it alone. */
static size_t slot_start(uint32_t high) {
    return (size_t)(high * 0x9E3779B1u) ^ (high >> 15);
}

uint32_t hash_index_find(const struct hash_index *ix, uint64_t hash, hash_equal_fn *equal, const void *ctx) {
    if (!ix->slots)
        return UINT32_MAX;
    for (size_t i = slot_start((uint32_t)(hash >> 32)) & ix->mask;; i = (i + 1) & ix->mask) {
        const struct hash_slot *s = &ix->slots[i];
        if (!s->id_plus_1)
            return UINT32_MAX;
        if (s->hash == (uint32_t)(hash >> 32) && equal(ctx, s->id_plus_1 - 1))
            return s->id_plus_1 - 1;
    }
}

static void slot_insert(struct hash_slot *slots, size_t mask, size_t start, struct hash_slot s) {
    size_t i = start & mask;
    while (slots[i].id_plus_1)
        i = (i + 1) & mask;
    slots[i] = s;
}

static int hash_index_grow(struct hash_index *ix) {
    size_t n = ix->slots ? (ix->mask + 1) * 2 : 64;
    struct hash_slot *slots = mem_zalloc(n, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; ix->slots && i <= ix->mask; i++)
        if (ix->slots[i].id_plus_1)
            slot_insert(slots, n - 1, slot_start(ix->slots[i].hash), ix->slots[i]);
    free(ix->slots);
    ix->slots = slots;
    ix->mask = n - 1;
    return 0;
}

int hash_index_add(struct hash_index *ix, uint64_t hash, uint32_t id) {
    if (!ix->slots || (ix->count + 1) * 4 > (ix->mask + 1) * 3)
        if (hash_index_grow(ix) < 0)
            return -ENOMEM;
    struct hash_slot s = {.hash = (uint32_t)(hash >> 32), .id_plus_1 = id + 1};
    slot_insert(ix->slots, ix->mask, slot_start(s.hash), s);
    ix->count++;
    return 0;
}

void hash_index_clear(struct hash_index *ix) {
    if (ix->slots)
        memset(ix->slots, 0, (ix->mask + 1) * sizeof(*ix->slots));
    ix->count = 0;
}

void hash_index_free(struct hash_index *ix) {
    free(ix->slots);
    *ix = (struct hash_index){0};
}

static size_t u64_start(uint64_t key, size_t mask) {
    return (size_t)(hash_mix(secret, key) >> 17) & mask;
}

static struct u64_entry *u64_find(struct u64_entry *entries, size_t mask, uint64_t key) {
    size_t i = u64_start(key, mask);
    while (entries[i].used && entries[i].key != key)
        i = (i + 1) & mask;
    return &entries[i];
}

uint64_t *u64_map_get(const struct u64_map *m, uint64_t key) {
    if (!m->entries)
        return NULL;
    struct u64_entry *e = u64_find(m->entries, m->mask, key);
    return e->used ? &e->value : NULL;
}

static int u64_map_grow(struct u64_map *m) {
    size_t n = m->entries ? (m->mask + 1) * 2 : 32;
    struct u64_entry *entries = mem_zalloc(n, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; m->entries && i <= m->mask; i++)
        if (m->entries[i].used)
            *u64_find(entries, n - 1, m->entries[i].key) = m->entries[i];
    free(m->entries);
    m->entries = entries;
    m->mask = n - 1;
    return 0;
}

int u64_map_put(struct u64_map *m, uint64_t key, uint64_t value) {
    if (!m->entries || (m->count + 1) * 4 > (m->mask + 1) * 3)
        if (u64_map_grow(m) < 0)
            return -ENOMEM;
    struct u64_entry *e = u64_find(m->entries, m->mask, key);
    if (!e->used) {
        *e = (struct u64_entry){.key = key, .used = true};
        m->count++;
    }
    e->value = value;
    return 0;
}

/* Entries that stand behind the gap because they collided move up into it. */
void u64_map_remove(struct u64_map *m, uint64_t key) {
    struct u64_entry *e = m->entries ? u64_find(m->entries, m->mask, key) : NULL;
    if (!e || !e->used)
        return;
    size_t gap = (size_t)(e - m->entries);
    for (size_t i = (gap + 1) & m->mask; m->entries[i].used; i = (i + 1) & m->mask) {
        size_t start = u64_start(m->entries[i].key, m->mask);
        if (((i - start) & m->mask) >= ((i - gap) & m->mask)) {
            m->entries[gap] = m->entries[i];
            gap = i;
        }
    }
    m->entries[gap].used = false;
    m->count--;
}

void u64_map_free(struct u64_map *m) {
    free(m->entries);
    *m = (struct u64_map){0};
}
