/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of the OpenAI dialects; nobody else includes it. The dialect is spoken by OpenAI, Azure, and with variations by
 * most other providers, so reading is lenient where they differ and writing is as OpenAI writes.
 */
#ifndef ENTENTE_DIALECT_OPENAI_H
#define ENTENTE_DIALECT_OPENAI_H

#include "dialect/dialect.h"

extern const struct dialect dialect_openai;
extern const struct dialect dialect_azure_openai;

/* Is this key the literal? Escaped spellings count, as they do for the provider. */
#define KEY_IS(key, literal)                                                                        \
    (((key).raw.n == sizeof(literal) - 1 && memcmp((key).raw.p, literal, sizeof(literal) - 1) == 0) || \
     (UNLIKELY((key).has_escapes) && json_key_is(key, SPAN(literal))))

/* ---- the hot path: openai_scan_request.c, openai_scan.c ---- */
enum err openai_scan_request(struct arena *a, enum api api, struct span body, struct request_facts *ret, struct complaint *why);
enum err openai_scan_request_model_optional(struct arena *a, enum api api, struct span body, struct request_facts *ret, struct complaint *why);
void openai_scan_event(enum api api, struct span data, struct answer_notes *notes, struct event_scan *ret);
enum err openai_scan_answer(enum api api, struct span body, struct answer_notes *notes);
enum err openai_complain(struct complaint *why, enum err error, const char *param, const char *format, ...) PRINTF_LIKE(4, 5);
enum err openai_complain_json(struct complaint *why, const struct json *j);
bool openai_is_done(struct span data);   /* [DONE] */
bool openai_is_silent(struct span data); /* blanks alone */

/* ---- openai_usage.c ---- */
struct openai_usage {
    struct usage usage;
    int64_t cost_nano;           /* the provider's own stated cost; -1 */
    struct neutral_extra *extra; /* keys that no class holds; only when an arena was given */
};
/* Reads the usage object that is next in j into disjoint classes. */
enum err openai_read_usage(struct json *j, enum api api, struct arena *a, struct openai_usage *ret) MUST_CHECK;
enum err openai_write_usage(struct buf *out, enum api api, const struct usage *u, const struct neutral_extra *extra) MUST_CHECK;
bool openai_decimal_nano(struct span number, int64_t *ret); /* "0.00216775" is 2167750; nearest, halves up */

enum neutral_stop openai_stop(struct json_string word);
const char *openai_stop_word(enum neutral_stop s);

/* ---- the translating half: openai_decode.c, openai_encode.c, openai_answer.c, openai_stream_*.c ---- */
enum err openai_decode_request(struct arena *a, enum api api, struct span body, struct neutral_request *ret, struct complaint *why);
enum err openai_encode_request(struct buf *out, const struct neutral_request *request, struct complaint *why);
enum err openai_read_answer(struct arena *a, enum api api, struct span body, struct neutral_answer *ret);
enum err openai_write_answer(struct buf *out, enum api api, const struct neutral_answer *answer);
enum err openai_read_event(struct arena *a, enum api api, struct span data, struct neutral_reader *state, struct neutral_event_list *ret);
enum err openai_write_event(struct buf *out, enum api api, const struct neutral_event *event, struct neutral_writer *state);

/* ---- openai_error.c ---- */
void openai_write_error(struct buf *out, const struct client_error *e);
void openai_write_stream_error(struct buf *out, const struct client_error *e);
void openai_read_error(int status, const struct http_head *head, struct span body, int64_t wall_us, struct provider_error *ret);

/* ---- openai_endpoint.c ---- */
enum err openai_endpoint_target(struct buf *out, const struct endpoint *e);
unsigned openai_endpoint_headers(struct arena *a, const struct endpoint *e, struct header *out, unsigned max);
enum err azure_endpoint_target(struct buf *out, const struct endpoint *e);
unsigned azure_endpoint_headers(struct arena *a, const struct endpoint *e, struct header *out, unsigned max);

/* What every speaker of the dialect shares: all but its names, what it asks of a request, and where requests go. */
#define OPENAI_BODIES \
    .stream_ping = ": ping\n\n", \
    .stream_end = "data: [DONE]\n\n", \
    .stream_type = "text/event-stream; charset=utf-8", \
    .serves = {API_OPENAI_CHAT, API_OPENAI_COMPLETIONS, API_OPENAI_EMBEDDINGS, API_NONE}, \
    .decode_request = openai_decode_request, \
    .write_error = openai_write_error, \
    .write_stream_error = openai_write_stream_error, \
    .write_answer = openai_write_answer, \
    .write_event = openai_write_event, \
    .encode_request = openai_encode_request, \
    .scan_event = openai_scan_event, \
    .scan_answer = openai_scan_answer, \
    .read_error = openai_read_error, \
    .read_answer = openai_read_answer, \
    .read_event = openai_read_event

#endif
