#include "base/utf8.h"

#include <string.h>

#include "base/macros.h"

/* What the first byte of a UTF-8 sequence promises: its length, and the range of its second byte, which
 * rules out overlong forms, surrogates and what lies beyond Unicode. */
struct utf8_lead {
    unsigned char from, to;
    unsigned char length, second_from, second_to;
};

static const struct utf8_lead utf8_leads[] = {
    {0x00, 0x7f, 1, 0x00, 0xff}, {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t utf8_length(const unsigned char *s) {
    for (size_t i = 0; i < ARRAY_SIZE(utf8_leads); i++) {
        const struct utf8_lead *l = &utf8_leads[i];
        if (s[0] < l->from || s[0] > l->to)
            continue;
        if (s[1] < l->second_from || s[1] > l->second_to)
            return 0;
        for (size_t k = 2; k < l->length; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return l->length;
    }
    return 0;
}

uint32_t utf8_code_point(const unsigned char *s, size_t n) {
    uint32_t v = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        v = v << 6 | (s[i] & 0x3fu);
    return v;
}

/* In bytes: U+0080 to U+009F, U+061C, U+200E and F, U+2028 to U+202E, U+2066 to U+2069, and the mark of byte order. */
size_t utf8_steers(const unsigned char *s) {
    static const struct {
        unsigned char lead[2];
        unsigned char n, from, to; /* of the lead; the byte after it */
    } ranges[] = {{{0xc2}, 1, 0x80, 0x9f},       {{0xd8}, 1, 0x9c, 0x9c},       {{0xe2, 0x80}, 2, 0x8e, 0x8f},
                  {{0xe2, 0x80}, 2, 0xa8, 0xae}, {{0xe2, 0x81}, 2, 0xa6, 0xa9}, {{0xef, 0xbb}, 2, 0xbf, 0xbf}};
    if (*s < 0x80)
        return *s && (*s < ' ' || *s == 0x7f);
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        if (memcmp(s, ranges[i].lead, ranges[i].n) == 0 && s[ranges[i].n] >= ranges[i].from &&
            s[ranges[i].n] <= ranges[i].to)
            return ranges[i].n + 1u;
    return 0;
}
