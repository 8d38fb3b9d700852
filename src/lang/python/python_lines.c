#include "lang/python/python_lines.h"

#include "base/reader.h"

static uint32_t line_number(int64_t line) {
    return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

/* The line of the last pair whose address does not lie beyond the offset. */
static struct python_position from_lnotab(struct reader r, uint32_t first_line, uint32_t offset) {
    int64_t line = first_line, address = 0;
    while (reader_left(&r) >= 2) {
        address += reader_u8(&r);
        if (address > offset)
            break;
        line += (int8_t)reader_u8(&r);
    }
    return (struct python_position){.line = line_number(line)};
}

/* Each pair says how many bytes of code run under the line it leads to. */
static struct python_position from_linetable(struct reader r, uint32_t first_line, uint32_t offset) {
    int64_t line = first_line, end = 0;
    while (reader_left(&r) >= 2) {
        end += reader_u8(&r);
        int8_t delta = (int8_t)reader_u8(&r);
        if (delta != -128)
            line += delta;
        if (offset < end)
            return (struct python_position){.line = delta == -128 ? 0 : line_number(line)};
    }
    return (struct python_position){0};
}

/* Six bits a byte, least significant first; bit 6 says that more follow. */
static uint64_t varint(struct reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 60; shift += 6) {
        uint8_t b = reader_u8(r);
        v |= (uint64_t)(b & 63) << shift;
        if (!(b & 64))
            return v;
    }
    r->failed = true;
    return 0;
}

/* The sign is the lowest bit. */
static int64_t signed_varint(struct reader *r) {
    uint64_t v = varint(r);
    return v & 1 ? -(int64_t)(v >> 1) : (int64_t)(v >> 1);
}

enum { CODE_SHORT_LAST = 9, CODE_ONE_LINE_FIRST = 10, CODE_NO_COLUMNS = 13, CODE_LONG = 14, CODE_NONE = 15 };

/* Decodes one entry: advances *line; the column is counted from 1. */
static uint32_t location_entry(struct reader *r, unsigned code, int64_t *line) {
    uint32_t column = 0;
    if (code == CODE_LONG) {
        *line += signed_varint(r);
        varint(r);                     /* end line */
        column = (uint32_t)varint(r);  /* already counted from 1; 0 = none */
        varint(r);
    } else if (code == CODE_NO_COLUMNS) {
        *line += signed_varint(r);
    } else if (code >= CODE_ONE_LINE_FIRST && code < CODE_NO_COLUMNS) {
        *line += code - CODE_ONE_LINE_FIRST;
        column = reader_u8(r) + 1u;
        reader_u8(r);
    } else if (code <= CODE_SHORT_LAST) {
        column = (code << 3 | (reader_u8(r) >> 4 & 7)) + 1u;
    }
    return column;
}

static struct python_position from_locations(struct reader r, uint32_t first_line, uint32_t offset) {
    int64_t line = first_line;
    uint64_t end = 0;
    while (reader_left(&r) && !r.failed) {
        uint8_t head = reader_u8(&r);
        unsigned code = head >> 3 & 15;
        end += ((head & 7) + 1u) * 2;
        uint32_t column = location_entry(&r, code, &line);
        if (offset < end && !r.failed)
            return (struct python_position){.line = code == CODE_NONE ? 0 : line_number(line), .column = column};
    }
    return (struct python_position){0};
}

struct python_position python_position(unsigned minor, const void *table, size_t size, uint32_t first_line,
                                       int32_t offset) {
    if (offset < 0)
        return (struct python_position){.line = first_line};
    struct reader r = reader_of(table, size);
    if (minor < 10)
        return from_lnotab(r, first_line, (uint32_t)offset);
    if (minor == 10)
        return from_linetable(r, first_line, (uint32_t)offset);
    return from_locations(r, first_line, (uint32_t)offset);
}
