/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes JSON into a buffer, minding the commas. The first error sticks and later calls do nothing, so that a writer reads as a list of
 * what it writes; json_out_end gives the error. Keys are literals of ours unless the name says otherwise.
 */
#ifndef ENTENTE_DIALECT_JSON_OUT_H
#define ENTENTE_DIALECT_JSON_OUT_H

#include "base/json.h"
#include "neutral/request.h"

struct json_out {
    struct buf *buf;
    size_t before; /* bytes that were in buf */
    enum err error;
    bool comma;    /* the next key or item needs one in front */
};

static inline struct json_out json_out_begin(struct buf *buf)
{
    return (struct json_out){.buf = buf, .before = buf_bytes(buf)};
}

/* On error, what was written is taken back. */
static inline enum err json_out_end(struct json_out *o)
{
    if (o->error)
        o->buf->end = o->buf->at + o->before;
    return o->error;
}

static inline void json_out_bytes(struct json_out *o, struct span bytes)
{
    if (!o->error)
        o->error = buf_append(o->buf, bytes);
}

static inline void json_out_separate(struct json_out *o)
{
    if (o->comma)
        json_out_bytes(o, SPAN(","));
    o->comma = false;
}

static inline void json_out_open(struct json_out *o, char bracket)
{
    json_out_separate(o);
    json_out_bytes(o, span_of(&bracket, 1));
}

static inline void json_out_close(struct json_out *o, char bracket)
{
    json_out_bytes(o, span_of(&bracket, 1));
    o->comma = true;
}

/* A value that is JSON already. */
static inline void json_out_raw(struct json_out *o, struct span json)
{
    json_out_separate(o);
    json_out_bytes(o, json);
    o->comma = true;
}

static inline void json_out_string(struct json_out *o, struct span plain)
{
    json_out_separate(o);
    if (!o->error)
        o->error = json_write_string(o->buf, plain);
    o->comma = true;
}

/* Text that is escaped already. */
static inline void json_out_text(struct json_out *o, struct json_string text)
{
    json_out_separate(o);
    json_out_bytes(o, SPAN("\""));
    json_out_bytes(o, text.raw);
    json_out_bytes(o, SPAN("\""));
    o->comma = true;
}

static inline void json_out_key_span(struct json_out *o, struct span plain)
{
    json_out_string(o, plain);
    json_out_bytes(o, SPAN(":"));
    o->comma = false;
}

static inline void json_out_key(struct json_out *o, const char *name)
{
    json_out_separate(o);
    json_out_bytes(o, SPAN("\""));
    json_out_bytes(o, span_str(name));
    json_out_bytes(o, SPAN("\":"));
}

static inline void json_out_int(struct json_out *o, int64_t value)
{
    json_out_separate(o);
    if (!o->error)
        o->error = buf_printf(o->buf, "%lld", (long long)value);
    o->comma = true;
}

static inline void json_out_bool(struct json_out *o, bool value)
{
    json_out_raw(o, value ? SPAN("true") : SPAN("false"));
}

/* Members that are left out when unsaid. */
static inline void json_out_member_span(struct json_out *o, const char *key, struct span plain)
{
    if (!plain.p)
        return;
    json_out_key(o, key);
    json_out_string(o, plain);
}

static inline void json_out_member_text(struct json_out *o, const char *key, struct json_string text)
{
    if (!text.raw.p)
        return;
    json_out_key(o, key);
    json_out_text(o, text);
}

static inline void json_out_member_raw(struct json_out *o, const char *key, struct span json)
{
    if (!json.p)
        return;
    json_out_key(o, key);
    json_out_raw(o, json);
}

static inline void json_out_member_int(struct json_out *o, const char *key, struct neutral_int value)
{
    if (!value.said)
        return;
    json_out_key(o, key);
    json_out_int(o, value.value);
}

static inline void json_out_member_said(struct json_out *o, const char *key, enum neutral_said value)
{
    if (value == NEUTRAL_UNSAID)
        return;
    json_out_key(o, key);
    json_out_bool(o, value == NEUTRAL_YES);
}

static inline void json_out_extra(struct json_out *o, const struct neutral_extra *extra)
{
    for (; extra; extra = extra->next) {
        json_out_key_span(o, extra->key);
        json_out_raw(o, extra->value_json);
    }
}

#endif
