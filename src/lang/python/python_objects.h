/* Python's dictionaries, instances and short texts, read from outside.
 * May use: target/, lang/python/.
 * Must not: trust a count or follow anything without end. The process may run meanwhile: what is read may be
 * torn, and is then nonsense within its bounds.
 *
 * A dictionary is {keys, values}. The keys are {header, indices, entries}: what is looked up by hash in the
 * process is read here in the entries' order, so the indices are only passed over.
 *   3.6-3.10  header of 40 bytes: dk_size at 8, dk_nentries at 32; entries {hash, key, value}
 *   3.11+     header of 32 bytes: log2 of the indices' bytes at 9, dk_kind at 10, dk_nentries at 24; entries
 *             {hash, key, value} for kind 0, else {key, value}
 * Where `values` is not NULL, the keys are shared with other instances of a class and the values are there, from 3.13
 * on behind a word of counts. An instance keeps its attributes
 *   -3.10     in the dictionary at tp_dictoffset; so do 3.11+ where the type has no "managed" one
 *   3.11      in values that the pointer at -32 names, else in the dictionary at -24
 *   3.12      the same, in one pointer at -24: values, minus 1, or a dictionary
 *   3.13+     in the dictionary at -24 (-8 in free-threaded builds), else in values at its end, tp_basicsize
 * with keys in the type's ht_cached_keys.
 * Sources: Include/internal/pycore_dict.h, pycore_object.h of 3.11-3.13; Objects/dict-common.h of 3.6-3.10. Checked
 * by the live test of thread names, on every version. */
#pragma once

#include "base/buf.h"
#include "lang/python/python_offsets.h"
#include "target/target.h"

/* What a reading may still cost; when it is used up, nothing more is read. */
struct python_reader {
    struct target *target; /* not owned */
    const struct python_layout *layout;
    unsigned reads;
    size_t bytes;

    /* The type and the keys that were looked at last: all instances of a class share them. */
    struct python_type {
        uint64_t address, flags, base_size, dictionary_at, keys;
    } type;
    uint64_t text_type; /* of str, 0 when it is not known yet */
};

/* Whether so many bytes could be read. */
bool python_read(struct python_reader *r, uint64_t address, void *dst, size_t size);
/* The word at an address, 0 when it cannot be read. */
uint64_t python_word(struct python_reader *r, uint64_t address);

struct python_entry {
    uint64_t hash; /* 0 where the table does not keep it */
    uint64_t key, value;
};

/* Entries of a dictionary, those without a value included (value 0). Zero-initialise; owns `all`. */
struct python_entries {
    struct python_entry *all;
    size_t count, capacity;
    struct buf bytes;
};
void python_entries_free(struct python_entries *e);
DEFINE_CLEANUP(struct python_entries, python_entries_free)

/* The entries of the dictionary at an address. Whether they could be read; at most PYTHON_MAX_ENTRIES. */
enum { PYTHON_MAX_ENTRIES = (1 << 20) / 24 };
bool python_dict(struct python_reader *r, uint64_t dict, struct python_entries *ret);
/* The attributes of the instance at an address. */
bool python_attributes(struct python_reader *r, uint64_t object, struct python_entries *ret);

/* A key that is looked for in many dictionaries: names in code are interned, so the same object is the key in all. */
struct python_key {
    const char *text; /* ASCII, at most 32 bytes */
    uint64_t object;  /* 0 when it is not known yet */
};
/* The value of a key, 0 when there is none. */
uint64_t python_find(struct python_reader *r, const struct python_entries *e, struct python_key *key);

/* Writes the beginning of a str object's text, as UTF-8, whole letters, control characters as "?". Whether it is a
 * str; reader->text_type must be known. */
bool python_short_text(struct python_reader *r, uint64_t object, char *ret, size_t size);

/* The value of an int object that is not negative and below 2^60; 0 when it is none. */
uint64_t python_integer(struct python_reader *r, uint64_t object);
