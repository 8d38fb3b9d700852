/* Hashing and the one open-addressing table: it maps a hash to a small integer id; the caller keeps
 * the things themselves in an array and says when two are equal.
 * May use: base/mem.h.
 * Must not: own the keys. */
#pragma once

#include "base/mem.h"

/* For tables: differs from process to process, so that a file cannot be made whose names fall on one place. */
uint64_t hash_bytes(const void *data, size_t n);
/* The same in every process, for what is written into files. */
uint64_t hash_lasting(const void *data, size_t n);
/* What the hash of a key that a file may choose begins with. */
uint64_t hash_secret(void);

/* Mixes a 64-bit word into a running hash (multiply-xorshift). What is hashed from 0 can be made to collide; begin with
 * hash_secret() where the words are somebody else's. */
static inline uint64_t hash_mix(uint64_t h, uint64_t v) {
    h = (h * 0xFF51AFD7ED558CCDull ^ v) * 0x9E3779B97F4A7C15ull;
    return h ^ (h >> 29);
}

/* Zero-initialise to use. */
struct hash_index {
    struct hash_slot *slots;
    size_t mask; /* number of slots - 1 */
    size_t count;
};

typedef bool hash_equal_fn(const void *ctx, uint32_t id);

/* Returns the id stored under `hash` for which equal(ctx, id) holds, or UINT32_MAX. */
uint32_t hash_index_find(const struct hash_index *ix, uint64_t hash, hash_equal_fn *equal, const void *ctx);

/* Adds an id that is known to be absent. 0 or -ENOMEM. */
int hash_index_add(struct hash_index *ix, uint64_t hash, uint32_t id) _must_check_;

void hash_index_clear(struct hash_index *ix); /* forgets the ids, keeps the memory */
void hash_index_free(struct hash_index *ix);

/* A map from 64-bit keys to 64-bit values. Zero-initialise to use. */
struct u64_map {
    struct u64_entry *entries;
    size_t mask, count;
};

/* Pointer to the value of `key`, or NULL. Valid until the next put. */
uint64_t *u64_map_get(const struct u64_map *m, uint64_t key);
/* Sets the value of `key`. 0 or -ENOMEM. */
int u64_map_put(struct u64_map *m, uint64_t key, uint64_t value) _must_check_;
/* Forgets `key`, if it is there. Pointers to values die. */
void u64_map_remove(struct u64_map *m, uint64_t key);
void u64_map_free(struct u64_map *m);
