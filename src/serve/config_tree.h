/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML as a tree with a place for every value, and the list of mistakes found in it. config_tree.c alone knows libyaml.
 *
 * Anchors and aliases are understood and bounded; tags, merge keys and several documents are refused with a sentence. A map with the same
 * key twice is a mistake and keeps the first.
 */
#ifndef ENTENTE_SERVE_CONFIG_TREE_H
#define ENTENTE_SERVE_CONFIG_TREE_H

#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node_item {
    struct node_item *next;
    const struct node *key; /* of maps: always a scalar; of lists NULL */
    const struct node *value;
};

struct node {
    enum node_kind kind;
    unsigned line, column;  /* from 1; 0 when it does not stand in the file */
    struct span text;       /* of scalars; NUL-terminated, without NUL inside */
    bool plain;             /* written without quotes: may mean null, true or a number */
    struct node_item *items;
    unsigned items_n;
};

static inline bool node_is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && n->plain && (n->text.n == 0 || span_eq(n->text, SPAN("~")) || span_eq(n->text, SPAN("null")));
}

struct config_error {
    const char *file;
    unsigned line, column;
    const char *message;
};

struct config_errors {
    struct arena arena;
    const char *file;          /* that is being read; stays borrowed */
    struct config_error *list; /* LIMIT_CONFIG_ERRORS of them, by file and place once sorted */
    unsigned n, left_out;      /* left_out: more than the limit */
};

void config_errors_init(struct config_errors *e);
void config_errors_fini(struct config_errors *e);
/* A mistake at this node; NULL: in the file as a whole. Control characters in the message become '?'. */
void config_error(struct config_errors *e, const struct node *at, const char *format, ...) PRINTF_LIKE(3, 4);
void config_error_at(struct config_errors *e, unsigned line, unsigned column, const char *format, ...) PRINTF_LIKE(4, 5);
static inline unsigned config_errors_count(const struct config_errors *e) { return e->n + e->left_out; }
void config_errors_sort(struct config_errors *e); /* by file and place; what was said twice of one place is said once */
/* "file:line:column: message", or "file: message" when it is about the file as a whole. */
struct span config_errors_line(const struct config_errors *e, unsigned i, struct arena *a);
void config_errors_print(const struct config_errors *e, FILE *out); /* a line each */

/* NULL when the text is no YAML that is allowed here; then at least one mistake was added. The tree lives in the arena. */
const struct node *config_tree_read(struct arena *a, struct span text, struct config_errors *e);

#endif
