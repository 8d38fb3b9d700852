#include "lang/python/python_objects.h"

#include <string.h>

#include "lang/python/python_text.h"

enum {
    TYPE_INLINE_VALUES = 1 << 2, /* bits of tp_flags; 3.13+ */
    TYPE_MANAGED_DICT = 1 << 4,  /* 3.11+ */
    KEYS_GENERAL = 0,            /* dk_kind */
    MAX_OBJECT = 1 << 16,        /* bytes of an instance before its values or its dictionary */
    MAX_NAMES = 16384,           /* keys whose text is compared with one that is looked for */
};

bool python_read(struct python_reader *r, uint64_t address, void *dst, size_t size) {
    if (r->reads == 0 || size > r->bytes)
        return false;
    r->reads--;
    r->bytes -= size;
    return target_read(r->target, address, dst, size) == 0;
}

uint64_t python_word(struct python_reader *r, uint64_t address) {
    uint64_t word;
    return python_read(r, address, &word, sizeof(word)) ? word : 0;
}

void python_entries_free(struct python_entries *e) {
    free(e->all);
    buf_free(&e->bytes);
    *e = (struct python_entries){0};
}

/* ---- dictionaries ---- */

struct keys {
    uint64_t entries;
    size_t count, entry_bytes;
};

static bool old_keys(struct python_reader *r, uint64_t address, struct keys *ret) {
    uint64_t header[5];
    if (!python_read(r, address, header, sizeof(header)))
        return false;
    uint64_t size = header[1];
    if (size > UINT32_MAX || (size & (size - 1)) != 0)
        return false;
    uint64_t index = size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
    *ret = (struct keys){.entries = address + sizeof(header) + size * index, .count = header[4], .entry_bytes = 24};
    return true;
}

static bool new_keys(struct python_reader *r, uint64_t address, struct keys *ret) {
    uint64_t header[4];
    uint8_t small[3]; /* dk_log2_size, dk_log2_index_bytes, dk_kind */
    if (!python_read(r, address, header, sizeof(header)))
        return false;
    memcpy(small, &header[1], sizeof(small));
    if (small[1] > 34)
        return false;
    *ret = (struct keys){.entries = address + sizeof(header) + (1ull << small[1]),
                         .count = header[3],
                         .entry_bytes = small[2] == KEYS_GENERAL ? 24 : 16};
    return true;
}

static const void *read_bytes(struct python_reader *r, struct python_entries *e, uint64_t address, size_t size) {
    buf_reset(&e->bytes);
    void *to = buf_reserve(&e->bytes, size);
    return to && python_read(r, address, to, size) ? to : NULL;
}

/* Reads entries whose values, when `values` is not 0, are in a list of their own. */
static bool read_entries(struct python_reader *r, uint64_t keys_at, uint64_t values, struct python_entries *ret) {
    struct keys k = {0};
    ret->count = 0;
    if (!keys_at || !(r->layout->minor >= 11 ? new_keys : old_keys)(r, keys_at, &k))
        return false;
    size_t n = MIN(k.count, (size_t)PYTHON_MAX_ENTRIES);
    if (n == 0)
        return true;
    if (mem_grow((void **)&ret->all, &ret->capacity, n, sizeof(*ret->all)) < 0)
        return false;
    const char *bytes = read_bytes(r, ret, k.entries, n * k.entry_bytes);
    if (!bytes)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct python_entry *to = &ret->all[i];
        to->hash = 0;
        memcpy(k.entry_bytes == 24 ? &to->hash : &to->key, bytes + i * k.entry_bytes, k.entry_bytes);
    }
    if (values) {
        const char *list = read_bytes(r, ret, values + (r->layout->minor >= 13 ? 8 : 0), n * 8);
        if (!list)
            return false;
        for (size_t i = 0; i < n; i++)
            memcpy(&ret->all[i].value, list + 8 * i, 8);
    }
    ret->count = n;
    return true;
}

bool python_dict(struct python_reader *r, uint64_t dict, struct python_entries *ret) {
    const struct python_layout *l = r->layout;
    uint64_t keys, values;
    ret->count = 0;
    return dict && python_read(r, dict + l->dict_keys, &keys, 8) && python_read(r, dict + l->dict_values, &values, 8) &&
           read_entries(r, keys, values, ret);
}

/* ---- instances ---- */

/* The field of a type object that is `distance` behind tp_flags in every version. */
static uint64_t type_field(struct python_reader *r, uint64_t type, int distance) {
    return python_word(r, type + r->layout->type_flags + (uint64_t)(int64_t)distance);
}

static bool learn_type(struct python_reader *r, uint64_t object) {
    uint64_t type = python_word(r, object + r->layout->object_type);
    if (!type || type == r->type.address)
        return type != 0;
    r->type = (struct python_type){
        .flags = type_field(r, type, 0),
        .base_size = type_field(r, type, 32 - 168),
        .dictionary_at = type_field(r, type, 288 - 168),
        .keys = r->layout->type_keys == PYTHON_NONE ? 0 : python_word(r, type + r->layout->type_keys),
    };
    r->type.address = type;
    return true;
}

static bool managed(struct python_reader *r, uint64_t object, struct python_entries *ret) {
    const struct python_type *type = &r->type;
    uint8_t minor = r->layout->minor;
    if (minor == 11) {
        uint64_t values = python_word(r, object - 32);
        return values ? read_entries(r, type->keys, values, ret) : python_dict(r, python_word(r, object - 24), ret);
    }
    uint64_t word = python_word(r, object - (r->layout->free_threaded ? 8 : 24));
    if (minor == 12)
        return word & 1 ? read_entries(r, type->keys, word + 1, ret) : python_dict(r, word, ret);
    if (word || !(type->flags & TYPE_INLINE_VALUES))
        return python_dict(r, word, ret);
    return type->base_size < MAX_OBJECT && read_entries(r, type->keys, object + type->base_size, ret);
}

bool python_attributes(struct python_reader *r, uint64_t object, struct python_entries *ret) {
    ret->count = 0;
    if (!object || !learn_type(r, object))
        return false;
    if (r->layout->minor >= 11 && r->type.flags & TYPE_MANAGED_DICT)
        return managed(r, object, ret);
    uint64_t at = r->type.dictionary_at;
    return at > 0 && at < MAX_OBJECT && python_dict(r, python_word(r, object + at), ret);
}

/* ---- texts and numbers ---- */

struct text {
    uint64_t type, length;
    unsigned kind;
    bool compact, ascii;
};

static bool read_text(struct python_reader *r, uint64_t object, struct text *ret) {
    const struct python_layout *l = r->layout;
    char head[96];
    uint32_t state;
    size_t size = l->text_ascii;
    if (size > sizeof(head) || l->object_type + 8u > size || l->text_length + 8u > size || l->text_state + 4u > size ||
        !object || !python_read(r, object, head, size))
        return false;
    memcpy(&ret->type, head + l->object_type, 8);
    memcpy(&ret->length, head + l->text_length, 8);
    memcpy(&state, head + l->text_state, 4);
    state >>= l->text_state_shift;
    ret->kind = state & 7;
    ret->compact = state >> 3 & 1;
    ret->ascii = state >> 4 & 1;
    return ret->kind == 1 || ret->kind == 2 || ret->kind == 4;
}

static bool is_text(struct python_reader *r, uint64_t object, const char *text) {
    char found[32];
    struct text t;
    size_t n = strlen(text);
    return n <= sizeof(found) && read_text(r, object, &t) && t.compact && t.ascii && t.length == n &&
           python_read(r, object + r->layout->text_ascii, found, n) && memcmp(found, text, n) == 0;
}

uint64_t python_find(struct python_reader *r, const struct python_entries *e, struct python_key *key) {
    for (size_t i = 0; key->object && i < e->count; i++)
        if (e->all[i].key == key->object)
            return e->all[i].value;
    for (size_t i = 0; i < MIN(e->count, (size_t)MAX_NAMES); i++)
        if (e->all[i].value && is_text(r, e->all[i].key, key->text)) {
            key->object = e->all[i].key;
            return e->all[i].value;
        }
    return 0;
}

/* The length of what may stay of a text: whole letters, and room for the NUL. */
static size_t whole_letters(const char *text, size_t n, size_t size) {
    if (n < size)
        return n;
    for (n = size - 1; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
        ;
    return n;
}

bool python_short_text(struct python_reader *r, uint64_t object, char *ret, size_t size) {
    const struct python_layout *l = r->layout;
    struct text t;
    char units[4 * 64];
    if (size == 0 || !read_text(r, object, &t) || t.type != r->text_type)
        return false;
    uint64_t at = object + (t.ascii ? l->text_ascii : l->text_compact);
    size_t n = MIN(MIN(t.length, size), sizeof(units) / t.kind);
    if ((!t.compact && !(at = python_word(r, at))) || !python_read(r, at, units, n * t.kind))
        return false;
    _cleanup_(buf_free) struct buf text = {0};
    python_text_decode(units, n, t.kind, &text);
    if (text.failed)
        return false;
    n = whole_letters(text.data, text.len, size);
    if (n)
        memcpy(ret, text.data, n);
    ret[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)ret[i] < ' ' || ret[i] == 0x7f)
            ret[i] = '?';
    return true;
}

uint64_t python_integer(struct python_reader *r, uint64_t object) {
    uint64_t at = object + r->layout->object_type + 8, head[2];
    if (!object || !python_read(r, at, head, sizeof(head)))
        return 0;
    bool negative = r->layout->minor >= 12 ? (head[0] & 3) == 2 : (int64_t)head[0] < 0;
    uint64_t digits = r->layout->minor >= 12 ? head[0] >> 3 : head[0];
    uint64_t low = head[1] & 0x3fffffff, high = head[1] >> 32 & 0x3fffffff;
    return negative ? 0 : digits == 1 ? low : digits == 2 ? high << 30 | low : 0;
}
