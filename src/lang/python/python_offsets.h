/* Where one interpreter keeps things: the offsets that walking and naming need.
 * May use: base/, lang/python/python_config.h.
 * Must not: read a process; it takes bytes. */
#pragma once

#include "base/err.h"
#include "lang/python/python_config.h"

enum { PYTHON_OLDEST = 6, PYTHON_NEWEST = 15, PYTHON_DEBUG_OFFSETS_BYTES = 1024 };

/* Offsets in bytes; UINT16_MAX = this version does not have the field. Names as in the .def tables. */
struct python_layout {
#define F(field, ...) uint16_t field;
#include "lang/python/python_offsets.def"
#undef F
    uint8_t text_state_shift; /* bit of `kind` in the state word */
    uint8_t minor, micro;     /* micro may be PYTHON_UNKNOWN_MICRO */
    uint8_t level, serial;    /* of the release: 15, 0 for a final one, as in sys.hexversion */
    bool free_threaded;
};

enum { PYTHON_NONE = UINT16_MAX, PYTHON_UNKNOWN_MICRO = UINT8_MAX };

/* 3.6-3.12, from the table. -ENOTSUP for another minor version. */
int python_layout_of(unsigned minor, struct python_layout *ret, struct err *err);

/* 3.13+, from the bytes at _PyRuntime. -EAGAIN when the cookie is not (yet) there, -ENOTSUP for a version
 * that this program does not know, -EBADMSG when an offset cannot be right. */
int python_layout_from_debug(const void *bytes, size_t size, struct python_layout *ret, struct err *err);

/* Fills `version_hex`, as PY_VERSION_HEX, into minor, micro, level and serial. */
void python_layout_set_version(struct python_layout *l, uint64_t version_hex);

/* "3.12.1", "3.14.0rc2", "3.13.5 free-threaded"; "3.12" when the micro version is not known. */
void python_layout_describe(const struct python_layout *l, char *ret, size_t size);

/* The walk's offsets; addresses and thread-local slot are left 0. -EBADMSG when the walk cannot use them. */
int python_layout_config(const struct python_layout *l, struct python_config *ret, struct err *err);
