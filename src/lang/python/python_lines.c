#include "lang/python/python_lines.h"

#include "base/reader.h"

/* Lines from a hostile table may be anything; a person's are positive. */
static uint32_t as_line(int64_t line) {
    return line > 0 && line < UINT32_MAX ? (uint32_t)line : 0;
}

/* 3.6-3.9: each pair moves on; the line before the first pair that is past the address holds. */
static struct python_position from_lnotab(struct reader *r, uint32_t first_line, uint64_t address) {
    int64_t line = first_line;
    uint64_t at = 0;
    while (reader_left(r) >= 2) {
        at += reader_u8(r);
        if (at > address)
            break;
        line += (int8_t)reader_u8(r);
    }
    return (struct python_position){.line = as_line(line)};
}

/* 3.10: each pair is a range of instructions. */
static struct python_position from_ranges(struct reader *r, uint32_t first_line, uint64_t address) {
    int64_t line = first_line;
    uint64_t end = 0;
    while (reader_left(r) >= 2) {
        end += reader_u8(r);
        int8_t delta = (int8_t)reader_u8(r);
        if (delta != -128)
            line += delta;
        if (address < end)
            return (struct python_position){.line = delta == -128 ? 0 : as_line(line)};
    }
    return (struct python_position){0};
}

/* ---- 3.11+ ---- */

enum {
    LOCATION_ONE_LINE_0 = 10, /* to 12: line += code - 10 and two bytes of columns */
    LOCATION_NO_COLUMN = 13,
    LOCATION_LONG = 14,
    LOCATION_NONE = 15,
};

/* Groups of 6 bits, least significant first; bit 6 = another group follows. */
static uint32_t read_varint(struct reader *r) {
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 32; shift += 6) {
        uint8_t b = reader_u8(r);
        value |= (uint32_t)(b & 63) << shift;
        if (!(b & 64))
            return value;
    }
    r->failed = true;
    return 0;
}

static int32_t read_signed_varint(struct reader *r) {
    uint32_t v = read_varint(r);
    return v & 1 ? -(int32_t)(v >> 1) : (int32_t)(v >> 1);
}

/* Reads one entry behind its first byte; moves *line. Columns in the table count from 0. */
static struct python_position read_location(struct reader *r, unsigned code, int64_t *line) {
    struct python_position p = {0};
    if (code == LOCATION_NONE)
        return p;
    if (code == LOCATION_LONG) {
        *line += read_signed_varint(r);
        p.end_line = as_line(*line + read_varint(r));
        p.column = read_varint(r); /* stored with 1 added, 0 = none: as we want it */
        p.end_column = read_varint(r);
    } else if (code == LOCATION_NO_COLUMN) {
        *line += read_signed_varint(r);
    } else if (code >= LOCATION_ONE_LINE_0) {
        *line += code - LOCATION_ONE_LINE_0;
        p.column = reader_u8(r) + 1u;
        p.end_column = reader_u8(r) + 1u;
    } else {
        uint8_t second = reader_u8(r);
        p.column = (code << 3 | second >> 4) + 1u;
        p.end_column = p.column + (second & 15);
    }
    p.line = as_line(*line);
    if (code != LOCATION_LONG)
        p.end_line = p.line;
    return p;
}

static struct python_position from_locations(struct reader *r, uint32_t first_line, uint64_t index) {
    int64_t line = first_line;
    uint64_t end = 0;
    while (reader_left(r) && !r->failed) {
        uint8_t first = reader_u8(r);
        end += (first & 7) + 1u;
        struct python_position p = read_location(r, first >> 3 & 15, &line);
        if (index < end)
            return r->failed ? (struct python_position){0} : p;
    }
    return (struct python_position){0};
}

struct python_position python_line(unsigned minor, const void *table, size_t size, uint32_t first_line,
                                   uint32_t index) {
    struct reader r = reader_of(table, size);
    if (index == UINT32_MAX)
        return (struct python_position){.line = first_line};
    if (minor >= 11)
        return from_locations(&r, first_line, index);
    if (minor == 10)
        return from_ranges(&r, first_line, 2ull * index);
    return from_lnotab(&r, first_line, 2ull * index);
}
