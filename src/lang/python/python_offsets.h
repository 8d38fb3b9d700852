/* Where CPython keeps what scry reads, by version.
 * Sources: for 3.6 – 3.12 the DWARF of release builds, checked against the headers' offsetof() and
 * against live processes; from 3.13 on the process describes itself (_Py_DebugOffsets at _PyRuntime).
 * May use: target/.
 * Must not: guess; a version it does not know is refused. */
#pragma once

#include "lang/python/python_walk.h"
#include "target/target.h"

struct python_offsets {
    u32 version;            /* 0x030c01f0: PY_VERSION_HEX; micro may be 0 when unknown */
    bool free_threaded;
    u32 interpreters_head;  /* relative to _PyRuntime */
    u32 tss_key;            /* of the pthread key of the thread state, relative to _PyRuntime; 0 = none */
    struct python_config walk; /* its offsets; addresses and tls_slot are filled by the attach */
    u16 tstate_interp;
    /* code objects */
    u16 code_file, code_name, code_qualname, code_lines; /* qualname 0 before 3.11 */
    /* str and bytes */
    u16 str_length, str_state, str_ascii, str_compact, str_kind_shift;
    u8 str_state_in_next_byte; /* 3.14+ free-threaded: `interned` has a byte of its own */
    u16 bytes_size, bytes_data;
};

/* Fills *ret for a version of 3.6 – 3.12. -ENOTSUP for others. */
int python_offsets_known(u32 version, struct python_offsets *ret);

/* Reads _Py_DebugOffsets of 3.13+ from a process. -ENOENT when the cookie is not there; -ENOTSUP when
 * the version is newer than what scry knows; -EBADMSG when the values make no sense. */
int python_offsets_read(struct target *t, u64 runtime, struct python_offsets *ret);
