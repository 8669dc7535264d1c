/* SPDX-License-Identifier: Apache-2.0
 *
 * From libyaml's events to the tree. An alias becomes a pointer to the node it names, never a copy; what all aliases together would
 * expand to is counted and bounded, so that nine nested ones cannot become a billion.
 */
#include "serve/config_tree.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/limits.h"

#define DEPTH_MAX 32u
#define VALUES_MAX 1000000u /* after expanding aliases */
#define ANCHORS_MAX 1000u

/* ---- mistakes ---- */

void config_errors_init(struct config_errors *e)
{
    *e = (struct config_errors){.file = ""};
    arena_init(&e->arena, 1024);
}

void config_errors_fini(struct config_errors *e)
{
    arena_fini(&e->arena);
    config_errors_init(e);
}

static void drop_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

PRINTF_LIKE(4, 0) static void add_error(struct config_errors *e, unsigned line, unsigned column, const char *format, va_list args)
{
    char message[1024];
    if (!e->list)
        e->list = ARENA_ARRAY(&e->arena, struct config_error, LIMIT_CONFIG_ERRORS);
    if (e->n == LIMIT_CONFIG_ERRORS) {
        e->left_out++;
        return;
    }
    vsnprintf(message, sizeof message, format, args);
    drop_controls(message);
    e->list[e->n++] = (struct config_error){e->file, line, column, arena_strdup(&e->arena, span_str(message))};
}

void config_error_at(struct config_errors *e, unsigned line, unsigned column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_error(e, line, column, format, args);
    va_end(args);
}

void config_error(struct config_errors *e, const struct node *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_error(e, at ? at->line : 0, at ? at->column : 0, format, args);
    va_end(args);
}

static int by_place(const void *left, const void *right)
{
    const struct config_error *a = left, *b = right;
    int order = strcmp(a->file, b->file);
    if (order)
        return order;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return strcmp(a->message, b->message);
}

void config_errors_sort(struct config_errors *e)
{
    unsigned kept = 0;
    if (e->n)
        qsort(e->list, e->n, sizeof *e->list, by_place);
    for (unsigned i = 0; i < e->n; i++)
        if (kept == 0 || by_place(&e->list[kept - 1], &e->list[i]) != 0)
            e->list[kept++] = e->list[i];
    e->n = kept;
}

struct span config_errors_line(const struct config_errors *e, unsigned i, struct arena *a)
{
    const struct config_error *error = &e->list[i];
    if (!error->line)
        return arena_printf(a, "%s: %s", error->file, error->message);
    return arena_printf(a, "%s:%u:%u: %s", error->file, error->line, error->column, error->message);
}

void config_errors_print(const struct config_errors *e, FILE *out)
{
    struct arena a;
    arena_init(&a, 1024);
    for (unsigned i = 0; i < e->n; i++) {
        struct span line = config_errors_line(e, i, &a);
        fprintf(out, "%.*s\n", SPAN_ARG(line));
    }
    if (e->left_out)
        fprintf(out, "%s: %u more mistakes are not shown\n", e->file, e->left_out);
    arena_fini(&a);
}

/* ---- UTF-8, before libyaml sees it, so that the place is told ---- */

static size_t utf8_length(const unsigned char *p, size_t n)
{
    static const struct { unsigned char first, last, second_min, second_max; size_t bytes; } forms[] = {
        {0x00, 0x7f, 0, 0, 1},          {0xc2, 0xdf, 0x80, 0xbf, 2},    {0xe0, 0xe0, 0xa0, 0xbf, 3},    {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3},    {0xee, 0xef, 0x80, 0xbf, 3},    {0xf0, 0xf0, 0x90, 0xbf, 4},    {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last || n < forms[i].bytes)
            continue;
        for (size_t k = 1; k < forms[i].bytes; k++)
            if (p[k] < (k == 1 ? forms[i].second_min : 0x80) || p[k] > (k == 1 ? forms[i].second_max : 0xbf))
                return 0;
        return forms[i].bytes;
    }
    return 0;
}

struct place {
    unsigned line, column;
};

static struct place place_of(struct span text, size_t offset)
{
    struct place at = {1, 1};
    for (size_t i = 0; i < offset && i < text.n; i++) {
        bool continues = ((unsigned char)text.p[i] & 0xc0) == 0x80;
        at = text.p[i] == '\n' ? (struct place){at.line + 1, 1} : (struct place){at.line, at.column + !continues};
    }
    return at;
}

static bool check_bytes(struct span text, struct config_errors *e)
{
    for (size_t i = 0, length; i < text.n; i += length) {
        length = utf8_length((const unsigned char *)text.p + i, text.n - i);
        if (length && text.p[i])
            continue;
        struct place at = place_of(text, i);
        config_error_at(e, at.line, at.column, length ? "a NUL byte: this is no text file" : "this byte is not valid UTF-8: save the file as UTF-8");
        return false;
    }
    return true;
}

/* ---- the tree ---- */

struct anchor {
    const char *name;
    const struct node *node; /* NULL while it is being read */
    uint64_t values;
};

struct reader {
    yaml_parser_t yaml;
    yaml_event_t event;
    bool has_event;
    struct arena *arena;
    struct config_errors *errors;
    struct span text;
    struct anchor *anchors;
    unsigned anchors_n;
    uint64_t values; /* so far, aliases expanded */
};

static unsigned line_of(const struct reader *r)
{
    return (unsigned)r->event.start_mark.line + 1;
}

static unsigned column_of(const struct reader *r)
{
    return (unsigned)r->event.start_mark.column + 1;
}

static const struct node *refuse(struct reader *r, const char *message)
{
    config_error_at(r->errors, line_of(r), column_of(r), "%s", message);
    return NULL;
}

static size_t offset_of(struct span text, size_t line)
{
    size_t at = 0;
    for (; line > 0 && at < text.n; at++)
        line -= text.p[at] == '\n';
    return at;
}

static bool stands_on_tab(const struct reader *r, const yaml_mark_t *mark)
{
    size_t at = offset_of(r->text, mark->line), end = at;
    while (end < r->text.n && (r->text.p[end] == ' ' || r->text.p[end] == '\t'))
        end++;
    return end > at && memchr(r->text.p + at, '\t', end - at) != NULL;
}

static void tell_syntax(struct reader *r)
{
    const yaml_parser_t *y = &r->yaml;
    const char *problem = y->problem ? y->problem : "this is not YAML";
    if (y->error == YAML_READER_ERROR || y->error == YAML_MEMORY_ERROR) {
        struct place at = place_of(r->text, y->problem_offset);
        config_error_at(r->errors, at.line, at.column, "%s", problem);
        return;
    }
    unsigned line = (unsigned)y->problem_mark.line + 1, column = (unsigned)y->problem_mark.column + 1;
    if (stands_on_tab(r, &y->problem_mark))
        config_error_at(r->errors, line, column, "YAML is indented with spaces, and here is a tab");
    else if (y->context)
        config_error_at(r->errors, line, column, "YAML syntax: %s, %s that began in line %u", problem, y->context, (unsigned)y->context_mark.line + 1);
    else
        config_error_at(r->errors, line, column, "YAML syntax: %s", problem);
}

static bool next_event(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->yaml, &r->event) == 1;
    if (!r->has_event)
        tell_syntax(r);
    return r->has_event;
}

static struct node *new_node(struct reader *r, enum node_kind kind)
{
    struct node *n = ARENA_NEW(r->arena, struct node);
    n->kind = kind;
    n->line = line_of(r);
    n->column = column_of(r);
    return n;
}

static bool count_values(struct reader *r, uint64_t more)
{
    r->values += more;
    if (r->values > VALUES_MAX)
        refuse(r, "too many values, counting what aliases (*name) expand to");
    return r->values <= VALUES_MAX;
}

static struct anchor *find_anchor(struct reader *r, const char *name)
{
    for (unsigned i = r->anchors_n; i-- > 0;) /* the last of a name counts */
        if (strcmp(r->anchors[i].name, name) == 0)
            return &r->anchors[i];
    return NULL;
}

static const struct node *read_alias(struct reader *r)
{
    const struct anchor *anchor = find_anchor(r, (const char *)r->event.data.alias.anchor);
    if (!anchor)
        return refuse(r, "this alias (*name) names no anchor (&name) above it");
    if (!anchor->node)
        return refuse(r, "this alias (*name) stands inside of what it names");
    return count_values(r, anchor->values) ? anchor->node : NULL;
}

static const struct node *read_scalar(struct reader *r)
{
    struct node *n = new_node(r, NODE_SCALAR);
    struct span text = span_of(r->event.data.scalar.value, r->event.data.scalar.length);
    if (memchr(text.p, 0, text.n))
        return refuse(r, "a NUL character has no place here");
    n->text = span_of(arena_strdup(r->arena, text), text.n);
    n->plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return n;
}

static const struct node *read_node(struct reader *r, unsigned depth);

static const struct node *read_list(struct reader *r, unsigned depth)
{
    struct node *n = new_node(r, NODE_LIST);
    for (struct node_item **at = &n->items; next_event(r) && r->event.type != YAML_SEQUENCE_END_EVENT; at = &(*at)->next) {
        const struct node *value = read_node(r, depth);
        if (!value)
            return NULL;
        *at = ARENA_NEW(r->arena, struct node_item);
        (*at)->value = value;
        n->items_n++;
    }
    return r->has_event ? n : NULL;
}

static int by_key(const void *left, const void *right)
{
    const struct node *a = (*(struct node_item *const *)left)->key, *b = (*(struct node_item *const *)right)->key;
    int order = strcmp(a->text.p, b->text.p);
    if (order)
        return order;
    return a->line != b->line ? (a->line < b->line ? -1 : 1) : (a->column > b->column) - (a->column < b->column);
}

static void drop_item(struct node *map, const struct node_item *item)
{
    struct node_item **at = &map->items;
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    map->items_n--;
}

static void refuse_duplicates(struct reader *r, struct node *map)
{
    if (map->items_n < 2)
        return;
    struct arena_mark mark = arena_mark(r->arena);
    struct node_item **sorted = ARENA_ARRAY(r->arena, struct node_item *, map->items_n);
    unsigned n = 0, first = 0;
    for (struct node_item *item = map->items; item; item = item->next)
        sorted[n++] = item;
    qsort(sorted, n, sizeof *sorted, by_key);
    for (unsigned i = 1; i < n; i++) {
        if (!span_eq(sorted[i]->key->text, sorted[first]->key->text)) {
            first = i;
            continue;
        }
        if (r->errors->left_out < LIMIT_CONFIG_ERRORS) /* dropping takes a walk; a file with so many mistakes is refused anyway */
            drop_item(map, sorted[i]);
        config_error(r->errors, sorted[i]->key, "\"%s\" stands here twice; it is already in line %u", sorted[i]->key->text.p, sorted[first]->key->line);
    }
    arena_rewind(r->arena, mark);
}

static const struct node *read_key(struct reader *r, unsigned depth)
{
    const struct node *key = read_node(r, depth);
    if (!key)
        return NULL;
    if (key->kind != NODE_SCALAR) {
        config_error(r->errors, key, "a key must be a word, not a map or a list");
        return NULL;
    }
    if (key->plain && span_eq(key->text, SPAN("<<"))) {
        config_error(r->errors, key, "merge keys (<<) are not understood here: write the keys out");
        return NULL;
    }
    return key;
}

static const struct node *read_map(struct reader *r, unsigned depth)
{
    struct node *n = new_node(r, NODE_MAP);
    for (struct node_item **at = &n->items; next_event(r) && r->event.type != YAML_MAPPING_END_EVENT; at = &(*at)->next) {
        const struct node *key = read_key(r, depth), *value = key && next_event(r) ? read_node(r, depth) : NULL;
        if (!value)
            return NULL;
        *at = ARENA_NEW(r->arena, struct node_item);
        (*at)->key = key;
        (*at)->value = value;
        n->items_n++;
    }
    if (!r->has_event)
        return NULL;
    refuse_duplicates(r, n);
    return n;
}

struct said {
    const yaml_char_t *anchor, *tag;
};

static struct said what_is_said(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return (struct said){event->data.scalar.anchor, event->data.scalar.tag};
    case YAML_SEQUENCE_START_EVENT: return (struct said){event->data.sequence_start.anchor, event->data.sequence_start.tag};
    case YAML_MAPPING_START_EVENT: return (struct said){event->data.mapping_start.anchor, event->data.mapping_start.tag};
    default: return (struct said){NULL, NULL};
    }
}

static bool open_anchor(struct reader *r, const yaml_char_t *name)
{
    if (r->anchors_n == ANCHORS_MAX) {
        refuse(r, "too many anchors (&name)");
        return false;
    }
    if (!r->anchors)
        r->anchors = ARENA_ARRAY(r->arena, struct anchor, ANCHORS_MAX);
    r->anchors[r->anchors_n++] = (struct anchor){arena_strdup(r->arena, span_str((const char *)name)), NULL, 0};
    return true;
}

static const struct node *read_value(struct reader *r, unsigned depth)
{
    switch (r->event.type) {
    case YAML_SCALAR_EVENT: return read_scalar(r);
    case YAML_SEQUENCE_START_EVENT: return read_list(r, depth);
    case YAML_MAPPING_START_EVENT: return read_map(r, depth);
    default: return refuse(r, "a value is missing here");
    }
}

static const struct node *read_node(struct reader *r, unsigned depth)
{
    if (r->event.type == YAML_ALIAS_EVENT)
        return read_alias(r);
    struct said said = what_is_said(&r->event);
    unsigned anchor = r->anchors_n;
    uint64_t values = r->values;
    if (said.tag)
        return refuse(r, "tags (!name) are not understood here: remove it");
    if (depth == DEPTH_MAX)
        return refuse(r, "this nests too deeply");
    if (!count_values(r, 1) || (said.anchor && !open_anchor(r, said.anchor)))
        return NULL;
    bool has_anchor = said.anchor != NULL; /* the event is gone after read_value */
    const struct node *n = read_value(r, depth + 1);
    if (n && has_anchor) {
        r->anchors[anchor].node = n;
        r->anchors[anchor].values = r->values - values;
    }
    return n;
}

static const struct node *read_document(struct reader *r)
{
    const struct node *root = NULL;
    if (!next_event(r) || !next_event(r)) /* stream start; document start */
        return NULL;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return refuse(r, "the file is empty");
    if (!next_event(r) || !(root = read_node(r, 0)) || !next_event(r) || !next_event(r)) /* root; document end; stream end */
        return NULL;
    return r->event.type == YAML_STREAM_END_EVENT ? root : refuse(r, "a second document begins here: one file, one config");
}

const struct node *config_tree_read(struct arena *a, struct span text, struct config_errors *e)
{
    struct reader r = {.arena = a, .errors = e, .text = text};
    if (!check_bytes(text, e))
        return NULL;
    CHECK(yaml_parser_initialize(&r.yaml) == 1);
    yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)(text.p ? text.p : ""), text.n);
    const struct node *root = read_document(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.yaml);
    return root;
}
