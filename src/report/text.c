/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of exports. Names come from configs, clients and providers, so none is trusted to be harmless where it is put.
 */
#include "report/text.h"

#include "base/json_scan.h"

static bool is_special(char c, const char *special) { return (unsigned char)c < 0x20 || c == 0x7f || strchr(special, c); }

static enum err put_safe(struct buf *out, struct span text, const char *special, unsigned bytes_max)
{
    enum err e = ERR_OK;
    while (text.n && !e) {
        unsigned n = is_special(*text.p, special) ? 0 : json_utf8_bytes(text.p, text.p + text.n);
        e = n && n <= bytes_max ? buf_append(out, span_of(text.p, n)) : buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text.p);
        text = span_from(text, n && n <= bytes_max ? n : 1);
    }
    return e;
}

enum err text_put(struct buf *out, struct span text, const char *special) { return put_safe(out, text, special, 4); }
enum err text_put_ascii(struct buf *out, struct span text, const char *special) { return put_safe(out, text, special, 1); }

/* ---- comma-separated values ---- */

static void put(struct csv *c, struct span s)
{
    if (!c->error)
        c->error = buf_append(c->out, s);
}

static void begin_cell(struct csv *c)
{
    if (c->begun)
        put(c, SPAN(","));
    c->begun = true;
}

static bool is_like_formula(struct span text) { return text.n && text.p[0] && strchr("=+-@'", text.p[0]); }

static bool needs_quotes(struct span text)
{
    return span_find(text, ',') >= 0 || span_find(text, '"') >= 0 || (text.n && (text.p[0] == ' ' || text.p[text.n - 1] == ' '));
}

static void put_text(struct csv *c, struct span text)
{
    if (!c->error)
        c->error = text_put(c->out, text, "");
}

static void put_quoted(struct csv *c, struct span text)
{
    while (text.p) {
        put_text(c, span_cut(&text, '"'));
        put(c, text.p ? SPAN("\"\"") : SPAN("\""));
    }
}

void csv_text(struct csv *c, struct span text)
{
    bool quoted = needs_quotes(text);
    begin_cell(c);
    if (quoted)
        put(c, SPAN("\""));
    if (is_like_formula(text))
        put(c, SPAN("'"));
    if (quoted)
        put_quoted(c, text);
    else
        put_text(c, text);
}

void csv_word(struct csv *c, const char *word)
{
    begin_cell(c);
    put(c, span_str(word));
}

void csv_number(struct csv *c, int64_t value)
{
    begin_cell(c);
    if (!c->error)
        c->error = buf_printf(c->out, "%lld", (long long)value);
}

void csv_money(struct csv *c, money amount)
{
    char text[MONEY_TEXT_BYTES];
    begin_cell(c);
    put(c, money_format(text, amount, 2));
}

void csv_end_row(struct csv *c)
{
    put(c, SPAN("\r\n"));
    c->begun = false;
}
