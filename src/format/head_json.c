#include "format/head_json.h"

#include "analyse/summary.h"

void value_types_json(struct json *j, const char *key, const struct profile *p) {
    json_key(j, key);
    json_array(j);
    for (unsigned v = 0; v < p->n_value_types; v++) {
        json_object(j);
        json_kstring(j, "type", profile_str(p, p->value_types[v].type));
        json_kstring(j, "unit", profile_str(p, p->value_types[v].unit));
        json_object_end(j);
    }
    json_array_end(j);
}

void quality_json(struct json *j, const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    json_key(j, "quality");
    json_object(j);
#define QUALITY(field) json_ku64(j, #field, q->field);
#include "format/quality.def"
#undef QUALITY
    json_kdouble(j, "slowdown_bound", q->slowdown_bound);
    analyse_remarks_json(j, p);
    json_object_end(j);
}
