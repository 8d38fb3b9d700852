#include "format/quality.h"

void quality_json(struct json *j, const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    json_key(j, "quality");
    json_object(j);
#define QUALITY(field) json_ku64(j, #field, q->field);
#include "format/quality.def"
#undef QUALITY
    json_kdouble(j, "slowdown_bound", q->slowdown_bound);
    json_key(j, "truncated");
    json_array(j);
    for (size_t i = 0; i < q->n_truncated; i++) {
        json_object(j);
        json_kstring(j, "reason", profile_str(p, q->truncated[i].reason));
        json_ku64(j, "count", q->truncated[i].count);
        json_object_end(j);
    }
    json_array_end(j);
    json_key(j, "notes");
    json_array(j);
    for (size_t i = 0; i < q->n_notes; i++)
        json_string(j, profile_str(p, q->notes[i]));
    json_array_end(j);
    json_object_end(j);
}
