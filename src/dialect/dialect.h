/* SPDX-License-Identifier: Apache-2.0
 *
 * A dialect is a wire format: how clients ask and how providers answer. Each is one file with one `const struct dialect`, listed
 * in dialect.c. Pure: no sockets, clock or globals.
 *
 * Two ways lead through a dialect, and both meet in the same `answer_notes`, from which metering reads:
 *
 *   same dialect on both sides:  bytes pass; scan_request finds what the gateway must know and edit, scan_event and scan_answer
 *                                read usage, finish and errors out of what passes by.
 *   different dialects:          decode_request -> neutral_request -> encode_request, and for the answer read_* -> neutral_event -> write_*.
 *
 * The second way's types are in neutral/request.h and neutral/event.h.
 */
#ifndef ENTENTE_DIALECT_DIALECT_H
#define ENTENTE_DIALECT_DIALECT_H

#include <sys/uio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/head.h"
#include "neutral/event.h"
#include "neutral/request.h"
#include "neutral/usage.h"

/* What a client can ask for. Each api belongs to one client dialect. */
enum api {
    API_NONE,
    API_OPENAI_CHAT,
    API_OPENAI_COMPLETIONS,
    API_OPENAI_EMBEDDINGS,
    API_COUNT
};
const char *api_name(enum api a);      /* "chat", "completions", "embeddings" */
const char *api_operation(enum api a); /* OpenTelemetry gen_ai.operation.name: "chat", "text_completion", "embeddings" */

/* ---- what the gateway must know of a request that passes through (filled by scan_request) ---- */

/* As small as it can be: thousands of streams keep it. Offsets are into the body, which is never as long as 4 GiB. */
struct request_facts {
    enum api api;
    bool stream;
    bool wants_usage;           /* the client asked for usage on the stream */
    bool body_is_empty_object;
    struct span model;          /* unescaped; lives in the arena or in the body */
    uint32_t model_at, model_end; /* the value's bytes in the body, quotes included; 0,0 when absent */
    uint32_t options_at, options_end; /* stream_options' value in the body, or 0,0 */
    uint32_t usage_at, usage_end; /* stream_options.include_usage's value, or 0,0 */
    uint32_t open_at;           /* just after the opening brace of the body */
    unsigned media_n;           /* images, audio or files in the messages: an estimate from text alone is too low */
    int64_t output_tokens_max;  /* max_completion_tokens or max_tokens; -1 unsaid */
    int64_t choices;            /* n; 1 when unsaid */
    int64_t outputs;            /* texts that may be written and billed: the larger of n and best_of, for each prompt of a list */
    struct span service_tier;   /* as asked for, between the quotes, still escaped; or empty */
    struct span user;           /* of user, else safety_identifier: between the quotes, still escaped; or empty */
};

/* Where a client's mistake is, for the error answer. */
struct complaint {
    enum err error;
    char param[64];     /* "messages[2].role", or "" */
    char message[256];  /* a sentence */
};

/* ---- what the answer told (filled by scan_event, scan_answer); enum finish_reason is in neutral/event.h ---- */

struct answer_notes {
    const struct usage *usage;  /* all unknown, until the provider said something; then in arena, source REPORTED */
    enum finish_reason finish;
    unsigned choices_finished;
    bool done;                  /* the dialect's own end of stream was seen ([DONE]) */
    bool content_seen;          /* something a person or program would call an answer has passed */
    bool error_seen;            /* an error inside a 200 */
    struct span model_served;   /* in arena, when the provider named it; set once */
    struct span service_tier;   /* likewise: the tier that served, e.g. "default", "flex", "priority" */
    struct arena *arena;        /* for usage, model_served, service_tier; NULL: they are not kept */
    int64_t provider_cost_nano; /* the provider's own stated cost in 10^-9 USD; -1 when it states none */
    /* Text of the answer for an estimate; called for each piece while no usage was reported, so for a whole answer always (usage stands behind
       the text there). Whole JSON strings, each: no escape is cut. NULL: not wanted. */
    void (*on_text)(void *owner, struct span escaped_json_text);
    void *owner;
    char *lead;                 /* the dialect's: how the last event began, in arena; see openai_scan.c */
    unsigned lead_bytes, lead_capacity;
};
void answer_notes_init(struct answer_notes *n, struct arena *arena);

enum event_verdict {
    EVENT_PASS,       /* forward as it is */
    EVENT_USAGE_ONLY, /* carries usage and nothing else: hide it from a client that did not ask */
    EVENT_USAGE_TOO,  /* content and usage in one: cut [cut_at, cut_end) out for a client that did not ask */
    EVENT_DONE,       /* the end marker */
    EVENT_FAILED,     /* an error inside the stream */
    EVENT_BROKEN,     /* not what the dialect allows (not JSON …) */
    EVENT_SILENT,     /* data without content, used as a ping: readers of this dialect break on it, so it is not forwarded */
};
struct event_scan {
    enum event_verdict verdict;
    size_t cut_at, cut_end;    /* of EVENT_USAGE_TOO, offsets into the event's data */
    struct span error_message; /* of EVENT_FAILED: escaped JSON text (json_unescape before showing it), or empty */
};

/* ---- what a provider's error means ---- */

enum provider_error_class {
    PROVIDER_ERROR_NONE,
    PROVIDER_ERROR_REQUEST,    /* the request is wrong everywhere: no retry, passed to the client */
    PROVIDER_ERROR_CONTEXT,    /* too long for this model */
    PROVIDER_ERROR_FILTER,     /* content policy */
    PROVIDER_ERROR_CREDENTIAL, /* our key is refused (401, 403) */
    PROVIDER_ERROR_NOT_FOUND,  /* deployment or path unknown there */
    PROVIDER_ERROR_RATE,       /* wait and retry */
    PROVIDER_ERROR_QUOTA,      /* money or daily quota: retry elsewhere, not here */
    PROVIDER_ERROR_OVERLOAD,
    PROVIDER_ERROR_TIMEOUT,
    PROVIDER_ERROR_FAULT,
};
struct provider_error {
    enum provider_error_class class;
    int status;
    int64_t retry_after_ms; /* -1: unsaid */
    struct span message;    /* escaped JSON text, bounded; borrows the body. Empty of bodies that are not JSON */
    struct span code;       /* the provider's own code or type, borrows the body */
    enum neutral_said should_retry; /* x-should-retry; NO: not here, whatever the class */
};
bool provider_error_retry_here(const struct provider_error *e);
bool provider_error_retry_elsewhere(const struct provider_error *e);
const char *provider_error_name(enum provider_error_class c); /* "rate", "quota", … */

/* An error for a client. */
struct client_error {
    enum err error;
    int status;          /* 0: err_status(error) */
    const char *message; /* NULL: err_sentence(error) */
    const char *param;   /* or NULL */
    const char *code;    /* NULL: err_code(error) */
    const char *request_id;
};

/* What is needed to address a provider. */
struct endpoint {
    enum api api;
    struct span base_path;   /* of the provider's URL, without a final slash: "/v1", "" */
    struct span model;       /* the deployment's name there */
    struct span credential;  /* the secret itself; never logged */
    struct span api_version; /* azure; empty: the v1 paths */
    bool stream;
};

struct dialect {
    const char *name;             /* in config and logs: "openai", "azure-openai" */
    const char *system;           /* OpenTelemetry gen_ai.provider.name: "openai", "azure.ai.openai" */
    const char *stream_ping;      /* what keeps a silent stream of this client dialect alive, or NULL */
    const char *stream_end;       /* the end marker of a complete stream: "data: [DONE]\n\n", or NULL */
    const char *stream_type;      /* content type of its streams: "text/event-stream; charset=utf-8" */
    enum api serves[API_COUNT];   /* apis a provider of this dialect can answer without translation; ends with API_NONE */

    /* client side */
    enum err (*scan_request)(struct arena *a, enum api api, struct span body, struct request_facts *ret, struct complaint *why);
    enum err (*decode_request)(struct arena *a, enum api api, struct span body, struct neutral_request *ret, struct complaint *why);
    void (*write_error)(struct buf *out, const struct client_error *e);        /* a whole body */
    void (*write_stream_error)(struct buf *out, const struct client_error *e); /* an event that ends a stream */
    enum err (*write_answer)(struct buf *out, enum api api, const struct neutral_answer *answer); /* a whole body */
    enum err (*write_event)(struct buf *out, enum api api, const struct neutral_event *event, struct neutral_writer *state); /* zero or more wire events */

    /* provider side */
    enum err (*endpoint_target)(struct buf *out, const struct endpoint *e); /* the request target */
    unsigned (*endpoint_headers)(struct arena *a, const struct endpoint *e, struct header *out, unsigned max); /* auth, accept, … */
    enum err (*encode_request)(struct buf *out, const struct neutral_request *request, struct complaint *why);
    void (*scan_event)(enum api api, struct span data, struct answer_notes *notes, struct event_scan *ret);
    /* ERR_PROVIDER_PROTOCOL when it is no answer; ERR_PROVIDER_FAULT and notes->error_seen when it is an error under a 200. */
    enum err (*scan_answer)(enum api api, struct span body, struct answer_notes *notes);
    void (*read_error)(int status, const struct http_head *head, struct span body, int64_t wall_us, struct provider_error *ret);
    enum err (*read_answer)(struct arena *a, enum api api, struct span body, struct neutral_answer *ret);
    /* Zero or more events, borrowing data and a. After the last piece, once more with SPAN_NONE: the body has ended, which gives END or ERROR. */
    enum err (*read_event)(struct arena *a, enum api api, struct span data, struct neutral_reader *state, struct neutral_event_list *ret);
};

const struct dialect *dialect_find(struct span name); /* by config name; NULL when unknown */
const struct dialect *dialect_nth(unsigned i);        /* NULL past the last */

/* The client side by path: which dialect and api a request path means, and the deployment named in an Azure path. Tolerates doubled and
 * trailing slashes, any prefix before /v1 and a missing /v1, because editors and agents are configured with all of these. Models are routed
 * for GET and HEAD alone. False is ROUTE_NONE, with a dialect in which to say so. */
struct route {
    const struct dialect *dialect;
    enum api api;
    struct span deployment; /* of /openai/deployments/{d}/…, percent-decoded in arena; else empty. Wins over the body's model, and only there
                               the azure dialect's scan_request lets a body without model pass (facts.model empty, model_end 0) */
    enum { ROUTE_API, ROUTE_MODELS, ROUTE_MODEL, ROUTE_NONE } kind;
    struct span model;      /* of /v1/models/{id} */
};
bool dialect_route(struct arena *a, const struct http_head *head, struct route *ret);

/* The secret a client presents: Authorization: Bearer, api-key, x-api-key, x-goog-api-key, in this order. SPAN_NONE when there is none. */
struct span dialect_client_key(const struct http_head *head);

/* Slices of the body with the model's name replaced and, when ask_usage, stream_options.include_usage made true: what goes to a provider of
 * the same dialect. out has room for 8. Everything else is byte for byte the client's. */
unsigned dialect_edit_request(struct arena *a, const struct request_facts *facts, struct span body, struct span model, bool ask_usage,
                              struct iovec *out);

#endif
