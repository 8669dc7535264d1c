/* SPDX-License-Identifier: Apache-2.0
 *
 * One cell after the other. A cell without quotes ends at a comma or a line end; one with quotes at its closing quote, behind which nothing else may
 * stand.
 */
#include "base/csv.h"

void csv_reader_init(struct csv_reader *r, struct span text, struct arena *arena)
{
    static const struct span mark = {"\xef\xbb\xbf", 3};
    struct span rest = span_starts(text, mark) ? span_from(text, mark.n) : text;
    *r = (struct csv_reader){.at = rest.p, .end = rest.n ? rest.p + rest.n : rest.p, .arena = arena, .next_line = 1, .line = 1};
}

static bool fail(struct csv_reader *r, unsigned line, const char *what)
{
    r->error = what;
    r->line = line;
    r->n = 0;
    return false;
}

static bool is_at(const struct csv_reader *r, char c) { return r->at < r->end && *r->at == c; }
static bool is_at_crlf(const struct csv_reader *r) { return r->end - r->at >= 2 && r->at[0] == '\r' && r->at[1] == '\n'; }
static bool is_at_line_end(const struct csv_reader *r) { return r->at == r->end || *r->at == '\n' || is_at_crlf(r); }

static void pass_line_end(struct csv_reader *r)
{
    if (r->at == r->end)
        return;
    r->at += is_at_crlf(r) ? 2 : 1;
    r->next_line++;
}

/* text has doubled quotes; each becomes one. */
static struct span undouble(struct arena *a, struct span text)
{
    char *out = arena_alloc(a, text.n);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        out[n++] = text.p[i];
        i += text.p[i] == '"';
    }
    return span_of(out, n);
}

/* Behind the opening quote. */
static bool read_quoted(struct csv_reader *r, struct span *ret)
{
    unsigned line = r->next_line;
    const char *begin = r->at;
    bool has_doubled = false;
    for (;; r->at++) {
        if (r->at == r->end)
            return fail(r, line, "the quote that opens here is never closed: the file was cut off, or a \" within a cell was not doubled");
        if (*r->at == '\n')
            r->next_line++;
        if (*r->at != '"')
            continue;
        if (r->end - r->at < 2 || r->at[1] != '"')
            break;
        has_doubled = true;
        r->at++;
    }
    *ret = span_of(begin, (size_t)(r->at - begin));
    if (has_doubled)
        *ret = undouble(r->arena, *ret);
    r->at++;
    return is_at(r, ',') || is_at_line_end(r) || fail(r, r->next_line, "something stands behind a closing quote: a \" within a cell is written twice");
}

static bool read_plain(struct csv_reader *r, struct span *ret)
{
    const char *begin = r->at;
    while (!is_at(r, ',') && !is_at_line_end(r))
        if (*r->at++ == '"')
            return fail(r, r->next_line, "a quote stands in a cell that does not begin with one: such a cell is quoted whole, and the \" written twice");
    *ret = span_of(begin, (size_t)(r->at - begin));
    return true;
}

static bool read_cell(struct csv_reader *r)
{
    if (r->n == CSV_CELLS_MAX)
        return fail(r, r->next_line, "more than 1024 cells in a row");
    struct span *cell = &r->cells[r->n++];
    if (!is_at(r, '"'))
        return read_plain(r, cell);
    r->at++;
    return read_quoted(r, cell);
}

bool csv_reader_next(struct csv_reader *r)
{
    if (r->error)
        return false;
    while (r->at < r->end && is_at_line_end(r))
        pass_line_end(r);
    r->n = 0;
    r->line = r->next_line;
    if (r->at == r->end)
        return false;
    for (;;) {
        if (!read_cell(r))
            return false;
        if (!is_at(r, ','))
            break;
        r->at++;
    }
    pass_line_end(r);
    return true;
}
