/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of events and stops, and the books that readers and writers of streams keep of choices and parts.
 */
#include "neutral/event.h"

const char *finish_reason_name(enum finish_reason f)
{
    static const char *const names[] = {"none", "stop", "length", "tool_calls", "content_filter", "error", "other"};
    return (unsigned)f < COUNT_OF(names) ? names[f] : "?";
}

static const struct {
    const char *name;
    enum finish_reason finish;
} stops[] = {
    [NEUTRAL_STOP_NONE] = {"none", FINISH_NONE},
    [NEUTRAL_STOP_END] = {"end", FINISH_STOP},
    [NEUTRAL_STOP_SEQUENCE] = {"stop_sequence", FINISH_STOP},
    [NEUTRAL_STOP_LENGTH] = {"length", FINISH_LENGTH},
    [NEUTRAL_STOP_CONTEXT] = {"context", FINISH_LENGTH},
    [NEUTRAL_STOP_TOOLS] = {"tools", FINISH_TOOL_CALLS},
    [NEUTRAL_STOP_FILTER] = {"filter", FINISH_CONTENT_FILTER},
    [NEUTRAL_STOP_REFUSAL] = {"refusal", FINISH_CONTENT_FILTER},
    [NEUTRAL_STOP_BROKEN_CALL] = {"broken_call", FINISH_ERROR},
    [NEUTRAL_STOP_PAUSED] = {"paused", FINISH_STOP},
    [NEUTRAL_STOP_ERROR] = {"error", FINISH_ERROR},
    [NEUTRAL_STOP_OTHER] = {"other", FINISH_OTHER},
};

enum finish_reason neutral_stop_finish(enum neutral_stop s)
{
    return (unsigned)s < COUNT_OF(stops) ? stops[s].finish : FINISH_OTHER;
}

const char *neutral_stop_name(enum neutral_stop s)
{
    return (unsigned)s < COUNT_OF(stops) ? stops[s].name : "?";
}

const char *neutral_event_kind_name(enum neutral_event_kind k)
{
    static const char *const names[] = {"start",  "part_start", "delta", "signature", "citation", "logprobs", "safety", "part_end",
                                        "finish", "usage",      "extra", "ping",      "error",    "end"};
    return (unsigned)k < COUNT_OF(names) ? names[k] : "?";
}

void neutral_answer_init(struct neutral_answer *answer, struct arena *arena)
{
    *answer = (struct neutral_answer){.arena = arena};
    usage_init(&answer->usage);
}

void neutral_event_list_init(struct neutral_event_list *l)
{
    *l = (struct neutral_event_list){NULL, NULL};
}

struct neutral_event *neutral_event_add(struct arena *a, struct neutral_event_list *l, enum neutral_event_kind kind, int choice)
{
    struct neutral_event *event = ARENA_NEW(a, struct neutral_event);
    event->kind = kind;
    event->choice = choice;
    if (l->last)
        l->last->next = event;
    else
        l->first = event;
    l->last = event;
    return event;
}

void neutral_reader_init(struct neutral_reader *r, struct arena *arena)
{
    *r = (struct neutral_reader){.arena = arena};
    usage_init(&r->usage);
}

void neutral_writer_init(struct neutral_writer *w, struct arena *arena)
{
    *w = (struct neutral_writer){.arena = arena};
    usage_init(&w->usage);
}

struct neutral_stream_choice *neutral_stream_choice(struct arena *a, struct neutral_stream_choice **list, int index)
{
    while (*list && (*list)->index != index)
        list = &(*list)->next;
    if (!*list) {
        *list = ARENA_NEW(a, struct neutral_stream_choice);
        (*list)->index = index;
    }
    return *list;
}

struct neutral_open_part *neutral_part_add(struct arena *a, struct neutral_stream_choice *c, enum neutral_part_kind kind, int wire_index)
{
    struct neutral_open_part **end = &c->open, *part = ARENA_NEW(a, struct neutral_open_part);
    while (*end)
        end = &(*end)->next;
    *end = part;
    part->part = c->parts++;
    c->calls += kind == NEUTRAL_TOOL_CALL;
    part->kind = kind;
    part->wire_index = wire_index;
    part->open = true;
    return part;
}

struct neutral_open_part *neutral_part_find(const struct neutral_stream_choice *c, unsigned part)
{
    struct neutral_open_part *p = c->open;
    while (p && p->part != part)
        p = p->next;
    return p;
}

/* So that a stream which goes back and forth between thinking and text does not make a longer and longer list to look through. */
void neutral_part_drop(struct neutral_stream_choice *c, const struct neutral_open_part *part)
{
    struct neutral_open_part **at = &c->open;
    while (*at && *at != part)
        at = &(*at)->next;
    if (*at)
        *at = part->next;
}
