/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON tree for tests: the slow and plain way to look at a document, on purpose not built on the reader under test.
 */
#ifndef ENTENTE_T_TREE_H
#define ENTENTE_T_TREE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

struct tree {
    char type;         /* '{' '[' '"' '0' 't' 'f' 'n' */
    char *key;         /* of a member; unescaped */
    size_t key_n;
    char *text;        /* of a string, unescaped; of a number, as written */
    size_t text_n;
    struct tree *child, *next;
};

struct tree_parser {
    struct arena *a;
    const char *p, *end;
    bool bad;
};

static inline void tree_space(struct tree_parser *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\r' || *t->p == '\t'))
        t->p++;
}

static inline size_t tree_utf8(char *out, unsigned c)
{
    if (c < 0x80)
        return (size_t)(out[0] = (char)c, 1);
    if (c < 0x800)
        return (size_t)(out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2);
    if (c < 0x10000)
        return (size_t)(out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63)), 3);
    out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)), out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63));
    return 4;
}

static inline unsigned tree_hex(const char *p)
{
    char four[5] = {p[0], p[1], p[2], p[3], 0};
    return (unsigned)strtoul(four, NULL, 16);
}

static inline char *tree_string(struct tree_parser *t, size_t *ret_n)
{
    const char *stop = ++t->p;
    while (stop < t->end && *stop != '"')
        stop += *stop == '\\' ? 2 : 1;
    if (stop >= t->end)
        return t->bad = true, NULL;
    char *out = arena_alloc(t->a, (size_t)(stop - t->p) + 4), *to = out;
    while (t->p < stop) {
        if (*t->p != '\\') {
            *to++ = *t->p++;
            continue;
        }
        char c = t->p[1];
        t->p += 2;
        if (c == 'u') {
            unsigned u = tree_hex(t->p);
            t->p += 4;
            if (u >= 0xd800 && u < 0xdc00 && t->p + 6 <= stop && t->p[0] == '\\' && t->p[1] == 'u') {
                u = 0x10000 + ((u - 0xd800) << 10) + (tree_hex(t->p + 2) - 0xdc00);
                t->p += 6;
            }
            to += tree_utf8(to, u);
        } else {
            *to++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
        }
    }
    t->p = stop + 1;
    *to = 0;
    *ret_n = (size_t)(to - out);
    return out;
}

static inline struct tree *tree_value(struct tree_parser *t)
{
    struct tree *node = ARENA_NEW(t->a, struct tree), **end = &node->child;
    tree_space(t);
    if (t->p >= t->end)
        return t->bad = true, node;
    char c = *t->p;
    if (c == '{' || c == '[') {
        node->type = c;
        t->p++;
        for (;;) {
            tree_space(t);
            if (t->p >= t->end)
                return t->bad = true, node;
            if (*t->p == '}' || *t->p == ']')
                return t->p++, node;
            if (*t->p == ',')
                t->p++;
            tree_space(t);
            char *key = NULL;
            size_t key_n = 0;
            if (c == '{') {
                if (t->p >= t->end || *t->p != '"' || !(key = tree_string(t, &key_n)))
                    return t->bad = true, node;
                tree_space(t);
                t->p++; /* the colon */
            }
            struct tree *one = tree_value(t);
            if (t->bad)
                return node;
            one->key = key;
            one->key_n = key_n;
            *end = one;
            end = &one->next;
        }
    }
    if (c == '"') {
        node->type = '"';
        node->text = tree_string(t, &node->text_n);
        return node;
    }
    const char *begin = t->p;
    while (t->p < t->end && !strchr(" \t\r\n,]}", *t->p))
        t->p++;
    node->type = c == 't' || c == 'f' || c == 'n' ? c : '0';
    node->text_n = (size_t)(t->p - begin);
    node->text = arena_strdup(t->a, span_of(begin, node->text_n));
    t->bad = t->bad || node->text_n == 0;
    return node;
}

static inline struct tree *tree_parse(struct arena *a, struct span text) /* NULL when it is no JSON */
{
    struct tree_parser t = {a, text.p, text.p + text.n, false};
    struct tree *root = tree_value(&t);
    tree_space(&t);
    return t.bad || t.p != t.end ? NULL : root;
}

static inline struct tree *tree_get(const struct tree *t, const char *key) /* the last of that name; NULL */
{
    struct tree *found = NULL;
    for (struct tree *c = t && t->type == '{' ? t->child : NULL; c; c = c->next)
        if (c->key_n == strlen(key) && memcmp(c->key, key, c->key_n) == 0)
            found = c;
    return found;
}

static inline struct tree *tree_path(const struct tree *t, const char *path) /* "a.b" */
{
    char copy[128], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, ".", &save); key && t; key = strtok_r(NULL, ".", &save))
        t = tree_get(t, key);
    return (struct tree *)t;
}

static inline long long tree_number(const struct tree *t, long long otherwise)
{
    return t && t->type == '0' ? strtoll(t->text, NULL, 10) : otherwise;
}

static inline const char *tree_text(const struct tree *t) { return t && t->type == '"' ? t->text : ""; }

static inline size_t tree_members(const struct tree *t)
{
    size_t n = 0;
    for (const struct tree *c = t->child; c; c = c->next)
        n += c->type != 'n' || t->type == '[';
    return n;
}

/* Equal whatever the order of keys; a member that is null counts as absent. Where they differ is printed. */
static inline bool tree_equal(const struct tree *x, const struct tree *y, const char *where)
{
    char path[256];
    if (!x || !y || x->type != y->type)
        return printf("# at %s: %s\n", where, !x || !y ? "one is missing" : "types differ"), false;
    if (x->type == '"' || x->type == '0') {
        bool same = x->type == '0' ? strtod(x->text, NULL) == strtod(y->text, NULL)
                                   : x->text_n == y->text_n && memcmp(x->text, y->text, x->text_n) == 0;
        return same || (printf("# at %s: %.60s is not %.60s\n", where, x->text, y->text), false);
    }
    if (tree_members(x) != tree_members(y)) {
        for (const struct tree *c = x->child; x->type == '{' && c; c = c->next)
            if (c->type != 'n' && !tree_get(y, c->key))
                printf("# at %s: %s is only in the first\n", where, c->key);
        for (const struct tree *c = y->child; y->type == '{' && c; c = c->next)
            if (c->type != 'n' && !tree_get(x, c->key))
                printf("# at %s: %s is only in the second\n", where, c->key);
        return printf("# at %s: %zu members, not %zu\n", where, tree_members(x), tree_members(y)), false;
    }
    const struct tree *other = y->child;
    size_t n = 0;
    for (const struct tree *c = x->child; c; c = c->next, n++) {
        if (x->type == '{' && c->type == 'n')
            continue;
        snprintf(path, sizeof path, x->type == '{' ? "%s.%s" : "%s[%s]", where, x->type == '{' ? c->key : "");
        if (!tree_equal(c, x->type == '{' ? tree_get(y, c->key) : other, path))
            return false;
        other = x->type == '[' ? other->next : other;
    }
    return true;
}

#endif
