#include "base/utf8.h"

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
