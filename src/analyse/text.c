#include "analyse/text.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

/* ---- letters ---- */

struct range {
    uint32_t from, to;
};

/* Blocks of Unicode whose letters are two columns wide, and those that add to the letter before. */
static const struct range wide[] = {{0x1100, 0x115f},  {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97c},
                                    {0xac00, 0xd7a3},  {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
                                    {0xffe0, 0xffe6},  {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff},
                                    {0x20000, 0x3fffd}};
static const struct range marks[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x064b, 0x065f},
                                     {0x0e34, 0x0e3a}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},
                                     {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

static bool is_in(const struct range *ranges, size_t n, uint32_t c) {
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}

struct letter {
    size_t bytes;
    size_t columns;
    const char *shown; /* NULL: as it is */
};

static struct letter letter_at(const char *s) {
    const unsigned char *c = (const unsigned char *)s;
    size_t n = utf8_length(c);
    if (n == 0)
        return (struct letter){.bytes = 1, .columns = 1, .shown = "\xef\xbf\xbd"};
    if (utf8_steers(c))
        return (struct letter){.bytes = n, .columns = 1, .shown = "?"};
    if (n == 1)
        return (struct letter){.bytes = 1, .columns = 1};
    uint32_t point = utf8_code_point(c, n);
    size_t columns = is_in(marks, ARRAY_SIZE(marks), point) ? 0 : is_in(wide, ARRAY_SIZE(wide), point) ? 2 : 1;
    return (struct letter){.bytes = n, .columns = columns};
}

size_t text_columns(const char *s) {
    size_t columns = 0;
    while (*s) {
        struct letter l = letter_at(s);
        columns += l.columns;
        s += l.bytes;
    }
    return columns;
}

/* ---- adding ---- */

/* As many letters as fit into `room`; *s moves behind them. Returns the columns used. */
static size_t add_letters(struct buf *out, const char **s, size_t room) {
    size_t used = 0;
    while (**s) {
        struct letter l = letter_at(*s);
        if (used + l.columns > room)
            break;
        if (l.shown)
            buf_adds(out, l.shown);
        else
            buf_add(out, *s, l.bytes);
        used += l.columns;
        *s += l.bytes;
    }
    return used;
}

static bool fits(const char *s, size_t room) {
    for (size_t columns = 0; *s;) {
        struct letter l = letter_at(s);
        columns += l.columns;
        if (columns > room)
            return false;
        s += l.bytes;
    }
    return true;
}

/* Of a name of many kilobytes, which may stand in thousands of rows, only what may be shown is looked at. */
static const char *near_end(const char *s, size_t room) {
    enum { MOST_LETTER = 4, MARKS = 256 };
    size_t n = strlen(s), near = room * MOST_LETTER + MARKS;
    if (n <= near)
        return s;
    s += n - near;
    while ((*s & 0xc0) == 0x80)
        s++;
    return s;
}

size_t text_add(struct buf *out, const char *s, size_t room) {
    static const char gap[] = "...";
    size_t dots = strlen(gap);
    if (room <= dots || fits(s, room))
        return add_letters(out, &s, room);
    size_t head = (room - dots + 1) / 2, tail = room - dots - head;
    size_t used = add_letters(out, &s, head) + dots;
    s = near_end(s, tail);
    size_t left = text_columns(s);
    buf_adds(out, gap);
    while (*s && left > tail) {
        struct letter l = letter_at(s);
        left -= l.columns;
        s += l.bytes;
    }
    while (*s && letter_at(s).columns == 0) /* a mark whose letter is gone */
        s += letter_at(s).bytes;
    return used + add_letters(out, &s, tail);
}

void text_add_padded(struct buf *out, const char *s, size_t room) {
    for (size_t used = add_letters(out, &s, room); used < room; used++)
        buf_addc(out, ' ');
}
