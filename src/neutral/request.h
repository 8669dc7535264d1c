/* SPDX-License-Identifier: Apache-2.0
 *
 * What was asked, in no provider's words. A dialect's decode_request makes it, another's encode_request writes it; docs/internals/neutral.md
 * maps six dialects onto it. Its one complication is that nothing may be lost in silence: what a field here can hold is held exactly, and
 * every other key of the client stays beside it as raw JSON (`extra`), which the same shape writes back and any other must refuse.
 *
 * Three kinds of bytes, told apart by type and name, all borrowed from the body or the arena:
 *   struct json_string     text as it stood between quotes, still escaped: prompts, data, signatures. Byte-equal on the way through.
 *   struct span            plain, unescaped: names, ids, media types. SPAN_NONE is "unsaid".
 *   struct span …_json     a raw JSON value: schemas, unknown keys.
 */
#ifndef ENTENTE_NEUTRAL_REQUEST_H
#define ENTENTE_NEUTRAL_REQUEST_H

#include "base/arena.h"
#include "base/json.h"

/* Where a neutral thing came from: whose extra keys, opaque signatures and raw parts it carries. */
enum neutral_shape {
    NEUTRAL_SHAPE_NONE,
    NEUTRAL_SHAPE_OPENAI_CHAT,
    NEUTRAL_SHAPE_OPENAI_COMPLETIONS,
    NEUTRAL_SHAPE_OPENAI_EMBEDDINGS,
    NEUTRAL_SHAPE_OPENAI_RESPONSES,
    NEUTRAL_SHAPE_ANTHROPIC,
    NEUTRAL_SHAPE_GEMINI,
    NEUTRAL_SHAPE_CONVERSE,
    NEUTRAL_SHAPE_OCI,
    NEUTRAL_SHAPE_OLLAMA,
};

enum neutral_task {
    NEUTRAL_CHAT,       /* messages in, a message out */
    NEUTRAL_COMPLETION, /* one text continued */
    NEUTRAL_EMBEDDING,  /* texts into vectors */
};

enum neutral_said { NEUTRAL_UNSAID, NEUTRAL_NO, NEUTRAL_YES };

struct neutral_int {
    bool said;
    int64_t value;
};

/* A number that need not be an integer: as it was written, so that 0.7 stays 0.7. SPAN_NONE when unsaid. */
struct neutral_number {
    struct span text;
};
double neutral_number_value(struct neutral_number n, double unsaid);

/* Adds a node (or a chain of them) at the end of a list. The first node's `last` is a shortcut to the end, so that a body with a million of
 * something costs a million steps; a list that was linked by hand may leave it NULL. */
#define NEUTRAL_APPEND(list, node)                                                                                   \
    do {                                                                                                             \
        __typeof__(node) append_node = (node), *append_list = (list), append_last = *append_list;                    \
        if (append_last && append_last->last)                                                                        \
            append_last = append_last->last;                                                                         \
        while (append_last && append_last->next)                                                                     \
            append_last = append_last->next;                                                                         \
        if (append_last)                                                                                             \
            append_last->next = append_node;                                                                         \
        else                                                                                                         \
            *append_list = append_node;                                                                              \
        if (*append_list)                                                                                            \
            (*append_list)->last = append_node ? append_node : append_last;                                          \
    } while (0)

/* A key that no field holds. */
struct neutral_extra {
    struct neutral_extra *next, *last;
    struct span key;        /* plain */
    struct span value_json;
};

/* ---- parts of a message ---- */

enum neutral_part_kind {
    NEUTRAL_TEXT,        /* text, citations */
    NEUTRAL_REASONING,   /* text, signature */
    NEUTRAL_REFUSAL,     /* text */
    NEUTRAL_IMAGE,       /* media */
    NEUTRAL_AUDIO,       /* media; text is a transcript */
    NEUTRAL_VIDEO,       /* media */
    NEUTRAL_DOCUMENT,    /* media */
    NEUTRAL_TOOL_CALL,   /* call, signature */
    NEUTRAL_TOOL_RESULT, /* result */
    NEUTRAL_OTHER,       /* raw_json only: a part that only its own shape knows */
};

enum neutral_media_from {
    NEUTRAL_MEDIA_DATA, /* base64 in data */
    NEUTRAL_MEDIA_URL,  /* data is a URL, never fetched here; gs:// and s3:// too */
    NEUTRAL_MEDIA_FILE, /* data is the id of a file that one provider holds */
    NEUTRAL_MEDIA_TEXT, /* data is the text itself (plain-text documents) */
};

struct neutral_media {
    enum neutral_media_from from;
    struct span type;        /* "image/png"; SPAN_NONE when the dialect did not say */
    struct json_string data;
    struct json_string name; /* a document's file name or title */
    struct span detail;      /* images: "auto", "low", "high" */
    bool bare;               /* chat of Mistral: a URL without the object around it */
};

/* Arguments come as JSON inside a string from some dialects, as an object from others. Whichever came is kept; the other is made on demand. */
struct neutral_tool_call {
    struct span id;      /* pairs with neutral_tool_result.call_id; SPAN_NONE when the dialect has none (Gemini): order pairs them */
    struct span item_id; /* Responses: the item's own id */
    struct span name;
    bool custom;         /* free-form input in arguments instead of JSON */
    bool old_style;      /* chat's function_call of 2023: one call, no id */
    struct json_string arguments;
    struct span arguments_json; /* an object; SPAN_NONE when arguments holds them */
};

struct neutral_tool_result {
    struct span call_id;
    struct span name;             /* where the dialect names the tool again (Gemini, old chat) */
    enum neutral_said is_error;
    bool custom;
    struct neutral_part *content; /* text, media, or OTHER with structured JSON */
    bool content_is_string;
};

enum neutral_reasoning_form {
    NEUTRAL_REASONING_TEXT,     /* thoughts in the open: reasoning_content, thinking, reasoningText */
    NEUTRAL_REASONING_SUMMARY,  /* a summary of hidden thoughts (Responses summary[]) */
    NEUTRAL_REASONING_REDACTED, /* only opaque data: redacted_thinking, encrypted_content; in signature */
};

struct neutral_reasoning_part {
    enum neutral_reasoning_form form;
    struct span item_id; /* Responses */
    struct span key;     /* chat: under which key it came, "reasoning" or "reasoning_content" */
};

/* An opaque token that proves where reasoning or a call came from. Only the provider family that made it can read it: it goes back there byte
 * for byte and nowhere else. */
struct neutral_signature {
    enum neutral_shape maker;
    struct json_string data;
};

/* Up to here, the prompt should be cached. */
enum neutral_cache { NEUTRAL_CACHE_NONE, NEUTRAL_CACHE_DEFAULT, NEUTRAL_CACHE_5M, NEUTRAL_CACHE_1H };

struct neutral_citation {
    struct neutral_citation *next, *last;
    enum { NEUTRAL_CITATION_URL, NEUTRAL_CITATION_DOCUMENT, NEUTRAL_CITATION_OTHER } kind;
    struct json_string url, title, quote;
    struct neutral_int start, end; /* which characters of the answer's text */
    struct neutral_int document;   /* which document of the request */
    struct span raw_json;          /* as it came: written back to the same shape */
};

struct neutral_part {
    struct neutral_part *next, *last;
    enum neutral_part_kind kind;
    enum neutral_shape shape; /* of raw_json and extra */
    struct json_string text;
    union {
        struct neutral_media media;
        struct neutral_tool_call call;
        struct neutral_tool_result result;
        struct neutral_reasoning_part reasoning;
    };
    struct neutral_signature signature;
    struct neutral_citation *citations;
    enum neutral_cache cache;
    bool beside;              /* chat: stood in a key beside content, not in it (refusal, audio, reasoning) */
    struct span raw_json;     /* OTHER: the whole part. Else the dialect's inner object, when it holds keys that no field does */
    struct neutral_extra *extra;
};

/* ---- messages ---- */

enum neutral_role {
    NEUTRAL_SYSTEM,    /* Anthropic system, Gemini systemInstruction, Responses instructions */
    NEUTRAL_DEVELOPER, /* OpenAI's newer word; SYSTEM elsewhere */
    NEUTRAL_USER,
    NEUTRAL_ASSISTANT,
    NEUTRAL_TOOL,      /* TOOL_RESULT parts only; dialects that put results in a user turn are split on reading and joined on writing */
};

struct neutral_message {
    struct neutral_message *next;
    enum neutral_role role;
    struct span name;          /* the speaker's, where given */
    struct neutral_part *parts; /* in the order they are to be read: reasoning, text, calls */
    bool content_is_string;    /* one bare string rather than a list of parts */
    bool content_is_absent;    /* no content key at all, or null */
    bool apart;                /* Responses instructions, Anthropic system: not in the list of messages */
    bool prefill;              /* the model is to continue this last assistant message */
    struct span item_id;       /* Responses */
    struct neutral_extra *extra;
};

/* ---- tools ---- */

enum neutral_tool_kind {
    NEUTRAL_TOOL_FUNCTION,
    NEUTRAL_TOOL_CUSTOM, /* free-form or grammar input: format_json */
    NEUTRAL_TOOL_HOSTED, /* the provider's own (web search …): type, raw_json */
};

struct neutral_tool {
    struct neutral_tool *next, *last;
    enum neutral_tool_kind kind;
    struct span name;
    struct json_string description;
    struct span schema_json; /* JSON Schema of the arguments; SPAN_NONE: no arguments */
    bool schema_is_openapi;  /* Gemini's `parameters`: a subset of OpenAPI 3.0, not JSON Schema */
    enum neutral_said strict;
    struct span format_json; /* CUSTOM */
    struct span type;        /* HOSTED */
    struct span raw_json;    /* HOSTED: the whole tool */
    bool old_style;          /* chat's functions[] of 2023 */
    enum neutral_cache cache;
    enum neutral_shape shape; /* of raw_json and extra */
    struct neutral_extra *extra;          /* beside type */
    struct neutral_extra *function_extra; /* beside name, where the dialect nests */
};

enum neutral_choose {
    NEUTRAL_CHOOSE_UNSAID,
    NEUTRAL_CHOOSE_NONE,
    NEUTRAL_CHOOSE_AUTO,
    NEUTRAL_CHOOSE_REQUIRED, /* Anthropic any, Gemini ANY */
    NEUTRAL_CHOOSE_NAMED,    /* names has one */
    NEUTRAL_CHOOSE_ALLOWED,  /* names limits the choice; required tells which mode */
    NEUTRAL_CHOOSE_RAW,      /* raw_json: only its own shape knows */
};

struct neutral_name {
    struct neutral_name *next, *last;
    struct span name;
};

struct neutral_tool_choice {
    enum neutral_choose mode;
    bool required;           /* of ALLOWED */
    bool custom;             /* of NAMED */
    bool old_style;          /* chat's function_call of 2023 */
    struct neutral_name *names;
    struct span raw_json;    /* RAW, and ALLOWED as it came */
};

/* ---- form of the answer, reasoning ---- */

enum neutral_format_kind { NEUTRAL_FORMAT_UNSAID, NEUTRAL_FORMAT_TEXT, NEUTRAL_FORMAT_JSON, NEUTRAL_FORMAT_SCHEMA, NEUTRAL_FORMAT_RAW };

struct neutral_format {
    enum neutral_format_kind kind;
    struct span name;
    struct json_string description;
    struct span schema_json;
    bool schema_is_openapi;
    enum neutral_said strict;
    struct span raw_json;        /* RAW: grammars and the like */
    struct neutral_extra *extra; /* beside type; of JSON_SCHEMA beside name */
};

struct neutral_reasoning {
    struct span effort;               /* none minimal low medium high xhigh max, or the provider's own word */
    struct neutral_int budget_tokens; /* Anthropic budget_tokens, Gemini thinkingBudget; 0 off, -1 as the model likes */
    enum neutral_said show;           /* thoughts or a summary wanted in the answer */
    struct span summary;              /* auto concise detailed */
    struct span raw_json;             /* what of it fits no field, as an object */
};

/* ---- the other tasks ---- */

enum neutral_input_kind {
    NEUTRAL_INPUT_TEXT,   /* text */
    NEUTRAL_INPUT_TOKENS, /* tokens_json: an array of integers of one model's vocabulary */
    NEUTRAL_INPUT_OTHER,  /* raw, in tokens_json: images for embeddings and the like */
};

struct neutral_input {
    struct neutral_input *next, *last;
    enum neutral_input_kind kind;
    struct json_string text;
    struct span tokens_json;
};

enum neutral_encoding { NEUTRAL_ENCODING_UNSAID, NEUTRAL_ENCODING_FLOAT, NEUTRAL_ENCODING_BASE64, NEUTRAL_ENCODING_OTHER };

/* What an encoder dropped because its target has no word for it. */
struct neutral_loss {
    struct neutral_loss *next;
    struct span param;
};

struct neutral_request {
    struct arena *arena;
    enum neutral_shape shape; /* where it came from */
    enum neutral_task task;
    struct span model;        /* unescaped; the planner replaces it before encoding */
    bool stream;
    enum neutral_said stream_said;    /* "stream": false and none at all are told apart */
    enum neutral_said stream_usage;
    struct neutral_extra *stream_extra; /* of stream_options */

    /* NEUTRAL_CHAT */
    struct neutral_message *messages;
    struct neutral_tool *tools;
    bool tools_said;          /* an empty list is not none */
    struct neutral_tool_choice tool_choice;
    enum neutral_said parallel_tools;
    struct neutral_format format;
    struct neutral_reasoning reasoning;
    struct span verbosity;
    struct span modalities_json; /* ["text","audio"] */
    struct span previous;     /* Responses: previous_response_id; needs a store, refused elsewhere */
    struct span safety_json;  /* Gemini safetySettings, Converse guardrailConfig, chat moderation: native only */
    struct span cached;       /* Gemini cachedContent */

    /* NEUTRAL_COMPLETION, NEUTRAL_EMBEDDING */
    struct neutral_input *inputs;
    bool inputs_is_list;
    struct json_string suffix;
    bool suffix_said;
    enum neutral_said echo;
    struct neutral_int best_of;
    struct neutral_int dimensions;
    enum neutral_encoding encoding;
    struct span encoding_name; /* as said */
    struct span input_type;    /* what the vectors are for: "search_query" … */

    /* sampling and limits */
    struct neutral_int output_tokens_max;
    bool output_tokens_max_old; /* chat's max_tokens rather than max_completion_tokens */
    struct neutral_number temperature, top_p, min_p, frequency_penalty, presence_penalty;
    struct neutral_int top_k, seed, choices;
    struct neutral_extra *stops; /* value_json: each a JSON string; keys empty */
    bool stops_is_string;
    struct span logit_bias_json;
    enum neutral_said logprobs;
    struct neutral_int top_logprobs; /* completions: logprobs */

    /* who, where, at what tier */
    struct json_string user, safety_identifier, cache_key;
    struct span cache_retention;
    struct span metadata_json;
    enum neutral_said store;
    struct span service_tier; /* auto default flex scale priority; Anthropic standard_only, Gemini STANDARD become default */
    enum neutral_cache cache; /* a mark for the whole prompt */

    struct neutral_extra *extra;
    /* NULL: an encoder refuses what it cannot say. Else it leaves it out and lists it here (config says warn). */
    struct neutral_loss **losses;
};

void neutral_request_init(struct neutral_request *r, struct arena *arena);

/* Plain text as escaped text, in the arena; and back. */
struct json_string neutral_escape(struct arena *a, struct span plain);
static inline bool neutral_has(struct json_string s) { return s.raw.p != NULL; }

/* The arguments of a call as one JSON object, or as the escaped text of one. ERR_JSON when they are none; "" counts as {}. */
enum err neutral_call_object(struct arena *a, const struct neutral_tool_call *call, struct span *ret_json) MUST_CHECK;
struct json_string neutral_call_text(struct arena *a, const struct neutral_tool_call *call);

/* Adds at the end of a list; gives the new extra. */
struct neutral_extra *neutral_extra_add(struct arena *a, struct neutral_extra **list, struct span key, struct span value_json);
const struct neutral_extra *neutral_extra_find(const struct neutral_extra *list, struct span key);

const char *neutral_role_name(enum neutral_role r);
const char *neutral_part_kind_name(enum neutral_part_kind k);
const char *neutral_shape_name(enum neutral_shape s);

#endif
