/* SPDX-License-Identifier: Apache-2.0
 *
 * What came back, in no provider's words: whole (neutral_answer) or as it arrives (neutral_event). The words are those of request.h.
 *
 * The order of a stream's events, which every reader gives and every writer may rely on:
 *
 *   START  ( PART_START ( DELTA | CITATION )* PART_END | EXTRA | SAFETY | PING )*  FINISH per choice  USAGE*  END
 *   or, at any place, ERROR and nothing more.
 *
 *   1. Parts of one choice are numbered 0, 1, 2 … in the order they start. Several may be open at once (parallel tool calls of chat); a
 *      writer whose wire allows one at a time holds the others back.
 *   2. A part's kind, id and tool name are known at its PART_START. A reader that must wait for them waits.
 *   3. FINISH of a choice follows the PART_END of all its parts. SAFETY and EXTRA may follow FINISH (Azure's late filter results).
 *   4. USAGE carries all that is known so far, not a difference; the last one counts.
 *   5. A stream that stops without FINISH ends in ERROR, never in a made-up FINISH.
 */
#ifndef ENTENTE_NEUTRAL_EVENT_H
#define ENTENTE_NEUTRAL_EVENT_H

#include "neutral/request.h"
#include "neutral/usage.h"

enum finish_reason { FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_TOOL_CALLS, FINISH_CONTENT_FILTER, FINISH_ERROR, FINISH_OTHER };
const char *finish_reason_name(enum finish_reason f);

/* Why a choice ended, finer than finish_reason. */
enum neutral_stop {
    NEUTRAL_STOP_NONE,        /* not said */
    NEUTRAL_STOP_END,
    NEUTRAL_STOP_SEQUENCE,    /* stop_sequence tells which, where known */
    NEUTRAL_STOP_LENGTH,
    NEUTRAL_STOP_CONTEXT,     /* the context window is full */
    NEUTRAL_STOP_TOOLS,
    NEUTRAL_STOP_FILTER,      /* the provider's filter cut it */
    NEUTRAL_STOP_REFUSAL,     /* the model refused */
    NEUTRAL_STOP_BROKEN_CALL, /* a tool call that does not parse: never a plain stop, or agents loop */
    NEUTRAL_STOP_PAUSED,      /* Anthropic pause_turn */
    NEUTRAL_STOP_ERROR,
    NEUTRAL_STOP_OTHER,       /* word holds it */
};
enum finish_reason neutral_stop_finish(enum neutral_stop s);
const char *neutral_stop_name(enum neutral_stop s);

struct neutral_error {
    enum err error;            /* the class: ERR_PROVIDER_FAULT, ERR_PROVIDER_RATE … */
    struct json_string message;
    struct span code, type, param;
    int status;                /* 0: unsaid */
};

struct neutral_choice {
    struct neutral_choice *next;
    int index;
    enum neutral_role role;
    struct neutral_part *parts;
    bool content_is_absent;      /* chat: content null rather than "" */
    enum neutral_stop stop;
    struct span stop_word;       /* the provider's own word */
    struct json_string stop_sequence;
    struct span logprobs_json;   /* chat's object {content:[{token,logprob,bytes,top_logprobs}],refusal}; completions' as it came */
    struct span safety_json;     /* filter results, raw, of the answer's shape */
    struct neutral_extra *extra;         /* beside index */
    struct neutral_extra *message_extra; /* beside content */
};

struct neutral_vector {
    struct neutral_vector *next;
    int index;
    float *values; /* NULL when raw_json holds them */
    size_t n;
    struct span raw_json; /* quantised or nested vectors, as they came */
};

struct neutral_answer {
    struct arena *arena;
    enum neutral_shape shape;
    enum neutral_task task;
    struct span id;
    struct span model;           /* that served it, as the provider says */
    struct neutral_int created;  /* seconds since 1970 */
    struct neutral_choice *choices;
    struct neutral_vector *vectors;
    enum neutral_encoding encoding; /* how the vectors are to be written: the writer's choice is the request's */
    struct usage usage;
    struct neutral_extra *usage_extra; /* keys of usage that no class holds: costs, timings */
    struct span service_tier, fingerprint;
    struct span prompt_safety_json; /* Azure prompt_filter_results, Gemini promptFeedback */
    struct neutral_extra *extra;
};
void neutral_answer_init(struct neutral_answer *answer, struct arena *arena);

/* ---- a stream ---- */

enum neutral_event_kind {
    NEUTRAL_EVENT_START,      /* id, model, created, service_tier, fingerprint */
    NEUTRAL_EVENT_PART_START, /* choice, part, part_kind; call (id, name) or reasoning */
    NEUTRAL_EVENT_DELTA,      /* choice, part, part_kind; text: of TEXT, REASONING, REFUSAL, a TOOL_CALL's arguments; or media data */
    NEUTRAL_EVENT_SIGNATURE,  /* choice, part; signature, whole */
    NEUTRAL_EVENT_CITATION,   /* choice, part; citation */
    NEUTRAL_EVENT_LOGPROBS,   /* choice; json: chat's logprobs object */
    NEUTRAL_EVENT_SAFETY,     /* choice or -1 for the prompt; json */
    NEUTRAL_EVENT_PART_END,   /* choice, part */
    NEUTRAL_EVENT_FINISH,     /* choice, stop, stop_word, stop_sequence */
    NEUTRAL_EVENT_USAGE,      /* usage */
    NEUTRAL_EVENT_EXTRA,      /* choice or -1; extra: keys that only the same shape can say */
    NEUTRAL_EVENT_PING,
    NEUTRAL_EVENT_ERROR,      /* failure */
    NEUTRAL_EVENT_END,
};
const char *neutral_event_kind_name(enum neutral_event_kind k);

struct neutral_event {
    struct neutral_event *next;
    enum neutral_event_kind kind;
    enum neutral_part_kind part_kind;
    enum neutral_shape shape; /* of json and extra: what only its own dialect can say */
    int choice;
    unsigned part;
    union {
        struct {
            struct span id, model, service_tier, fingerprint;
            struct neutral_int created;
        } start;
        struct json_string text;
        struct neutral_tool_call call;           /* PART_START of a TOOL_CALL; no arguments yet */
        struct neutral_reasoning_part reasoning; /* PART_START of REASONING */
        struct neutral_media media;              /* PART_START of IMAGE, AUDIO */
        struct neutral_signature signature;
        const struct neutral_citation *citation;
        struct span json;
        struct {
            enum neutral_stop stop;
            struct span word;
            struct json_string sequence;
        } finish;
        struct {
            struct usage usage;
            struct neutral_extra *extra;
        } usage;
        struct {
            struct neutral_extra *list;
            bool beside; /* of a choice: beside its delta rather than in it */
        } extra;
        struct neutral_error failure;
    };
};

struct neutral_event_list {
    struct neutral_event *first, *last;
};
void neutral_event_list_init(struct neutral_event_list *l);
/* A zeroed event at the end of the list. */
struct neutral_event *neutral_event_add(struct arena *a, struct neutral_event_list *l, enum neutral_event_kind kind, int choice);

/* A part that a reader has started or a writer has been told of. */
struct neutral_open_part {
    struct neutral_open_part *next;
    unsigned part;              /* its number in the neutral stream */
    int wire_index;             /* its number on the wire: chat's tool index, Anthropic's block index */
    enum neutral_part_kind kind;
    bool open;
    bool announced;             /* PART_START was given */
    struct span id, name;       /* of a call, once known */
    struct buf *held;           /* writers: bytes that wait for their turn */
};

struct neutral_stream_choice {
    struct neutral_stream_choice *next;
    int index;
    unsigned parts;             /* started so far */
    unsigned calls;             /* of them tool calls */
    bool role_written;
    bool old_call;              /* one of the calls was in the style of 2023: chat then finishes with another word */
    bool finished;
    struct neutral_open_part *open;
};

/* What a reader remembers between the pieces of one stream. The caller inits it, sets event_name before each read_event where the framing
 * has one, and after the last piece calls read_event once more with data SPAN_NONE: the body has ended. */
struct neutral_reader {
    struct arena *arena;        /* lives as long as the stream */
    struct span event_name;     /* SSE event:, AWS :event-type or :exception-type; else empty */
    bool started, done, failed;
    unsigned finished;          /* choices */
    struct neutral_stream_choice *choices;
    struct usage usage;
    void *own;                  /* the dialect's, in the arena */
};
void neutral_reader_init(struct neutral_reader *r, struct arena *arena);

/* What a writer remembers. The caller inits it and fills the first group. */
struct neutral_writer {
    struct arena *arena;        /* lives as long as the stream */
    struct span id, model;      /* shown to the client; START fills them when empty */
    struct neutral_int created;
    bool wants_usage;           /* the client asked for usage */
    enum neutral_encoding encoding;

    struct span service_tier, fingerprint;
    bool started, done, failed;
    unsigned sequence;          /* Responses sequence_number */
    struct neutral_stream_choice *choices;
    struct usage usage;
    enum neutral_stop stop;     /* held until usage arrives, where the wire puts both in one event */
    void *own;
};
void neutral_writer_init(struct neutral_writer *w, struct arena *arena);

struct neutral_stream_choice *neutral_stream_choice(struct arena *a, struct neutral_stream_choice **list, int index); /* finds or makes */
struct neutral_open_part *neutral_part_add(struct arena *a, struct neutral_stream_choice *c, enum neutral_part_kind kind, int wire_index);
struct neutral_open_part *neutral_part_find(const struct neutral_stream_choice *c, unsigned part); /* NULL when there is none */
void neutral_part_drop(struct neutral_stream_choice *c, const struct neutral_open_part *part); /* ended: nobody asks for it again */

#endif
