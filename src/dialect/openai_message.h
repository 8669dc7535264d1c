/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of chat, shared by requests, answers and streams of the OpenAI dialects. Nobody else includes it.
 */
#ifndef ENTENTE_DIALECT_OPENAI_MESSAGE_H
#define ENTENTE_DIALECT_OPENAI_MESSAGE_H

#include "dialect/json_out.h"
#include "dialect/openai.h"

struct message_reader {
    struct arena *arena;
    struct json *j;
    struct complaint *why;
    char path[32];  /* "messages[2]", for complaints */
    bool is_answer; /* lenient: the role may lack, annotations are citations */
};

/* Where to go with what the target has no word for. */
struct loss_sink {
    struct complaint *why;
    struct neutral_loss **losses; /* leave out and list here; NULL: refuse */
    struct arena *arena;
    bool drop;                    /* leave out without a word: answers have nobody to complain to */
};
enum err openai_lose(struct loss_sink *s, const char *param, const char *sentence); /* OK when it may be left out */

bool openai_is_ours(enum neutral_shape s);
struct neutral_part *openai_part_add(struct arena *a, struct neutral_part **list, enum neutral_part_kind kind);
bool openai_take_text(struct json *j, struct json_string *ret);
enum err openai_read_extra(struct json *j, struct arena *a, struct json_string key, struct neutral_extra **list); /* null is left out */
enum err openai_read_extra_cache(struct json *j, struct arena *a, struct json_string key, struct neutral_extra **list, enum neutral_cache *cache);
enum err openai_read_part(struct message_reader *r, struct neutral_part **list);
enum err openai_read_content(struct message_reader *r, struct neutral_part **list, bool *ret_is_string, bool *ret_is_absent);
enum err openai_read_function(struct json *j, struct arena *a, struct neutral_tool_call *call, bool *ret_unknown);
enum err openai_read_annotations(struct json *j, struct arena *a, struct neutral_citation **list);
enum err openai_read_message(struct message_reader *r, struct neutral_message *ret);

/* openai_fields.c: the plain keys of requests */
struct openai_field;
const struct openai_field *openai_field_find(enum neutral_task task, struct json_string key); /* NULL: none of them */
const char *openai_field_key(const struct openai_field *f);
const char *openai_field_wanted(const struct openai_field *f); /* "an integer", for complaints */
bool openai_field_read(const struct openai_field *f, struct json *j, struct arena *a, struct neutral_request *r); /* false: of a wrong type */
void openai_fields_write(struct json_out *o, const struct neutral_request *r, bool ours);
const char *openai_fields_compatible_only(const struct neutral_request *r, unsigned *at); /* said ones that OpenAI refuses; NULL: no more */
bool openai_take_said(struct json *j, enum neutral_said *ret);
bool openai_take_int(struct json *j, struct neutral_int *ret);

enum err openai_write_content(struct json_out *o, struct loss_sink *s, const struct neutral_part *parts, bool as_string, bool absent);
enum err openai_write_message(struct json_out *o, struct arena *a, struct loss_sink *s, const struct neutral_message *m, bool ours);
enum err openai_write_answer_message(struct json_out *o, struct arena *a, const struct neutral_choice *c, bool ours);
enum err openai_read_created(struct json *j, struct neutral_int *ret);
enum neutral_stop openai_stop_with_calls(enum neutral_stop stop, bool has_calls);
void openai_write_finish(struct json_out *o, enum neutral_stop stop, struct span word);
void openai_write_citation(struct json_out *o, const struct neutral_citation *c, bool ours);
void openai_write_google_signature(struct json_out *o, struct json_string signature);

#endif
