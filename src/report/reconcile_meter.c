/* SPDX-License-Identifier: Apache-2.0
 *
 * Meters are texts for people: "gpt 4o 0806 cached Inp glbl Tokens". Words that say a class, a modality or nothing are taken out, and what stays is the
 * model. Names of models are compared by what is left of them without vendor, region, version and separators. Words are in tables; what is none of
 * them belongs to the model.
 */
#include <stdio.h>
#include <stdlib.h>

#include "report/reconcile.h"

#define WORDS_MAX 48u

enum {
    SAYS_NOTHING = 0,
    SAYS_INPUT = 1, SAYS_OUTPUT = 2, SAYS_CACHE = 4, SAYS_READ = 8, SAYS_WRITE = 16, SAYS_HOUR = 32,
    SAYS_TEXT = 64, SAYS_AUDIO = 128, SAYS_IMAGE = 256, SAYS_REASONING = 512, SAYS_REQUEST = 1024, SAYS_SEARCH = 2048,
};

static const struct { const char *word; unsigned says; } words[] = {
    {"input", SAYS_INPUT}, {"inputs", SAYS_INPUT}, {"inp", SAYS_INPUT}, {"inpt", SAYS_INPUT}, {"in", SAYS_INPUT}, {"prompt", SAYS_INPUT},
    {"output", SAYS_OUTPUT}, {"outputs", SAYS_OUTPUT}, {"outp", SAYS_OUTPUT}, {"outpt", SAYS_OUTPUT}, {"opt", SAYS_OUTPUT}, {"out", SAYS_OUTPUT},
    {"completion", SAYS_OUTPUT}, {"completions", SAYS_OUTPUT}, {"response", SAYS_OUTPUT},
    {"cached", SAYS_CACHE}, {"cache", SAYS_CACHE}, {"cchd", SAYS_CACHE}, {"cd", SAYS_CACHE}, {"caching", SAYS_CACHE},
    {"read", SAYS_READ}, {"write", SAYS_WRITE}, {"creation", SAYS_WRITE}, {"1h", SAYS_HOUR}, {"hour", SAYS_HOUR},
    {"text", SAYS_TEXT}, {"txt", SAYS_TEXT}, {"audio", SAYS_AUDIO}, {"aud", SAYS_AUDIO}, {"image", SAYS_IMAGE}, {"img", SAYS_IMAGE},
    {"reasoning", SAYS_REASONING}, {"thinking", SAYS_REASONING}, {"requests", SAYS_REQUEST}, {"searches", SAYS_SEARCH},
    {"token", SAYS_NOTHING}, {"tokens", SAYS_NOTHING}, {"count", SAYS_NOTHING}, {"glbl", SAYS_NOTHING}, {"global", SAYS_NOTHING}, {"gl", SAYS_NOTHING},
    {"regnl", SAYS_NOTHING}, {"regional", SAYS_NOTHING}, {"rgnl", SAYS_NOTHING}, {"region", SAYS_NOTHING}, {"cross", SAYS_NOTHING}, {"data", SAYS_NOTHING},
    {"zone", SAYS_NOTHING}, {"dzone", SAYS_NOTHING}, {"dz", SAYS_NOTHING}, {"dzn", SAYS_NOTHING}, {"datazone", SAYS_NOTHING}, {"standard", SAYS_NOTHING},
    {"std", SAYS_NOTHING}, {"batch", SAYS_NOTHING}, {"flex", SAYS_NOTHING}, {"priority", SAYS_NOTHING}, {"pp", SAYS_NOTHING}, {"mantle", SAYS_NOTHING},
    {"online", SAYS_NOTHING}, {"predictions", SAYS_NOTHING}, {"prediction", SAYS_NOTHING}, {"generate", SAYS_NOTHING}, {"content", SAYS_NOTHING},
    {"1k", SAYS_NOTHING}, {"1m", SAYS_NOTHING}, {"of", SAYS_NOTHING}, {"for", SAYS_NOTHING}, {"5m", SAYS_NOTHING},
};

static bool is_separator(char c)
{
    return c == ' ' || c == '-' || c == '_' || c == ',' || c == '(' || c == ')' || c == ':' || c == '/' || c == '\t';
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || (signed char)c < 0; }

/* The next word off the front; empty at the end. */
static struct span take_word(struct span *rest)
{
    size_t from = 0, until;
    while (from < rest->n && is_separator(rest->p[from]))
        from++;
    for (until = from; until < rest->n && !is_separator(rest->p[until]);)
        until++;
    struct span word = span_from(span_to(*rest, until), from);
    *rest = span_from(*rest, until);
    return word;
}

static bool find_word(struct span word, unsigned *ret_says)
{
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_eq_nocase(word, span_str(words[i].word))) {
            *ret_says = words[i].says;
            return true;
        }
    return false;
}

static unsigned class_of(unsigned says)
{
    bool is_text = says & SAYS_TEXT;
    if (says & SAYS_CACHE)
        return !(says & SAYS_WRITE) ? USAGE_CACHE_READ : says & SAYS_HOUR ? USAGE_CACHE_WRITE_1H : USAGE_CACHE_WRITE;
    if (says & SAYS_REASONING)
        return USAGE_REASONING;
    if (says & SAYS_INPUT)
        return is_text ? USAGE_INPUT : says & SAYS_AUDIO ? USAGE_INPUT_AUDIO : says & SAYS_IMAGE ? USAGE_INPUT_IMAGE : USAGE_INPUT;
    if (says & SAYS_OUTPUT)
        return is_text ? USAGE_OUTPUT : says & SAYS_AUDIO ? USAGE_OUTPUT_AUDIO : says & SAYS_IMAGE ? USAGE_OUTPUT_IMAGE : USAGE_OUTPUT;
    return says & SAYS_REQUEST ? USAGE_REQUEST : says & SAYS_SEARCH ? USAGE_SEARCH : RECONCILE_ALL;
}

/* "EUC1", "USE1", "APN2", "EU": letters in capitals, then perhaps a digit. */
static bool is_region_code(struct span word)
{
    size_t letters = 0;
    while (letters < word.n && word.p[letters] >= 'A' && word.p[letters] <= 'Z')
        letters++;
    return letters >= 2 && letters <= 4 && (word.n == letters || (word.n == letters + 1 && is_digit(word.p[letters])));
}

/* Where the text says its modality in words of its own, "audio" and "image" are the model's: "gpt-4o-audio text input". */
static bool belongs_to_model(unsigned says, unsigned all)
{
    return (says & (SAYS_AUDIO | SAYS_IMAGE)) && (all & SAYS_TEXT);
}

static unsigned all_that_is_said(struct span text)
{
    unsigned all = 0, says;
    for (struct span word = take_word(&text); word.n; word = take_word(&text))
        if (find_word(word, &says))
            all |= says;
    return all;
}

void meter_read(struct arena *a, struct span text, bool with_region, struct meter *ret)
{
    ptrdiff_t comma = span_find(text, ',');
    struct span rest = comma < 0 ? text : span_from(text, (size_t)comma), head = comma < 0 ? SPAN_NONE : span_trim(span_to(text, (size_t)comma));
    unsigned all = all_that_is_said(rest), says;
    bool is_first = true;
    ret->usage = class_of(all);
    ret->model = head.n ? arena_dup(a, head) : SPAN_NONE;
    for (struct span word = take_word(&rest); word.n && comma < 0; word = take_word(&rest), is_first = false) {
        bool is_told = find_word(word, &says);
        if ((is_told && !belongs_to_model(says, all)) || (is_first && with_region && is_region_code(word)))
            continue;
        ret->model = ret->model.n ? arena_printf(a, "%.*s-%.*s", SPAN_ARG(ret->model), SPAN_ARG(word)) : arena_dup(a, word);
    }
}

/* ---- units ---- */

static const struct { const char *word; int64_t times; } units[] = {
    {"k", 1000}, {"thousand", 1000}, {"m", 1000000}, {"million", 1000000}, {"b", 1000000000}, {"billion", 1000000000},
    {"token", 1}, {"tokens", 1}, {"count", 1}, {"counts", 1}, {"request", 1}, {"requests", 1}, {"unit", 1}, {"units", 1}, {"each", 1}, {"search", 1},
    {"searches", 1}, {"session", 1}, {"sessions", 1}, {"image", 1}, {"images", 1}, {"second", 1}, {"seconds", 1}, {"pixels", 1}, {"hours", 0},
};

static int64_t unit_times(struct span word)
{
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (span_eq_nocase(word, span_str(units[i].word)))
            return units[i].times;
    return 0;
}

/* Digits off the front, with commas between them; 1 when there are none; 0 when they are too many. */
static int64_t take_number(struct span *rest)
{
    int64_t n = 0;
    size_t at = 0;
    for (; at < rest->n && (is_digit(rest->p[at]) || (at && rest->p[at] == ',')); at++)
        if (rest->p[at] != ',' && (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, rest->p[at] - '0', &n)))
            return 0;
    *rest = span_from(*rest, at);
    return at ? n : 1;
}

int64_t meter_scale(struct span unit)
{
    struct span rest = span_trim(unit);
    int64_t scale = take_number(&rest);
    for (struct span word = take_word(&rest); word.n && scale; word = take_word(&rest))
        if (__builtin_mul_overflow(scale, unit_times(word), &scale))
            return 0;
    return scale <= 1000000000000 ? scale : 0;
}

/* ---- names of models ---- */

static const char *const in_front[] = {"us.", "eu.", "apac.", "jp.", "au.", "ca.", "global.", "us-gov.", "anthropic.", "meta.", "amazon.", "mistral.", "cohere.",
                                       "deepseek.", "openai.", "ai21.", "google.", "qwen.", "stability.", "writer.", "azure openai "};

static struct span without_front(struct span name)
{
    for (ptrdiff_t slash; (slash = span_find(name, '/')) >= 0 && (size_t)slash + 1 < name.n;)
        name = span_from(name, (size_t)slash + 1);
    for (size_t i = 0; i < COUNT_OF(in_front); i++)
        if (name.n > strlen(in_front[i]) && span_starts_nocase(name, span_str(in_front[i])))
            name = span_from(name, strlen(in_front[i]));
    return name;
}

struct name_words { /* runs of letters or of digits */
    struct span at[WORDS_MAX];
    unsigned n;
};

static void split(struct span name, struct name_words *ret)
{
    size_t from = 0;
    ret->n = 0;
    while (from < name.n && ret->n < WORDS_MAX) {
        size_t until = from;
        bool digits = is_digit(name.p[from]);
        while (until < name.n && (digits ? is_digit(name.p[until]) : is_letter(name.p[until])))
            until++;
        if (until > from)
            ret->at[ret->n++] = span_of(name.p + from, until - from);
        from = until > from ? until : from + 1;
    }
}

static bool is_number(struct span word, size_t digits) { return word.n == digits && is_digit(word.p[0]); }
static int two(const char *p) { return (p[0] - '0') * 10 + p[1] - '0'; }
static bool is_day(const char *mmdd) { return two(mmdd) >= 1 && two(mmdd) <= 12 && two(mmdd + 2) >= 1 && two(mmdd + 2) <= 31; }

/* How many words from i on are a date, and its month and day. Never the first word: that names the model. */
static unsigned date_at(const struct name_words *w, unsigned i, char ret[5])
{
    char day[5] = "";
    unsigned n = 0;
    if (i + 2 < w->n && is_number(w->at[i], 4) && is_number(w->at[i + 1], 2) && is_number(w->at[i + 2], 2))
        n = 3;
    else if (i + 2 == w->n && is_number(w->at[i], 2) && is_number(w->at[i + 1], 2))
        n = 2;
    else if (is_number(w->at[i], 4) || is_number(w->at[i], 8))
        n = 1;
    if (!n || !i)
        return 0;
    if (n == 1)
        memcpy(day, w->at[i].p + w->at[i].n - 4, 4);
    else {
        memcpy(day, w->at[i + n - 2].p, 2);
        memcpy(day + 2, w->at[i + n - 1].p, 2);
    }
    if (!is_day(day))
        return 0;
    memcpy(ret, day, sizeof day);
    return n;
}

static void drop_words(struct name_words *w, unsigned i, unsigned n)
{
    memmove(&w->at[i], &w->at[i + n], (w->n - i - n) * sizeof w->at[0]);
    w->n -= n;
}

/* "-v1:0", "-001", "-latest" at the end. */
static void drop_version(struct name_words *w)
{
    if (w->n > 2 && is_number(w->at[w->n - 1], 1) && is_number(w->at[w->n - 2], 1) && w->n > 3 && span_eq_nocase(w->at[w->n - 3], SPAN("v")))
        w->n -= 3;
    else if (w->n > 2 && is_digit(w->at[w->n - 1].p[0]) && span_eq_nocase(w->at[w->n - 2], SPAN("v")))
        w->n -= 2;
    else if (w->n > 1 && (is_number(w->at[w->n - 1], 3) || span_eq_nocase(w->at[w->n - 1], SPAN("latest"))))
        w->n--;
}

static int by_text(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    for (size_t i = 0; i < n; i++)
        if (lower(x->p[i]) != lower(y->p[i]))
            return lower(x->p[i]) < lower(y->p[i]) ? -1 : 1;
    return (x->n > y->n) - (x->n < y->n);
}

static void join(const struct name_words *w, const char *between, char out[MODEL_FORM_BYTES])
{
    size_t n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        for (size_t k = 0; between[k] && i && n + 1 < MODEL_FORM_BYTES; k++)
            out[n++] = between[k];
        for (size_t k = 0; k < w->at[i].n && n + 1 < MODEL_FORM_BYTES; k++)
            out[n++] = lower(w->at[i].p[k]);
    }
    out[n] = 0;
}

void model_form_of(struct span name, struct model_form *ret)
{
    struct name_words w;
    memset(ret, 0, sizeof *ret);
    split(without_front(name), &w);
    drop_version(&w);
    for (unsigned i = 1, n; i < w.n; i++)
        if ((n = date_at(&w, i, ret->date)) > 0) {
            drop_words(&w, i, n);
            break;
        }
    drop_version(&w);
    join(&w, "", ret->base);
    qsort(w.at, w.n, sizeof w.at[0], by_text);
    join(&w, " ", ret->sorted);
}

unsigned model_form_match(const struct model_form *a, const struct model_form *b)
{
    bool same_date = strcmp(a->date, b->date) == 0;
    if (!same_date && a->date[0] && b->date[0])
        return 0;
    if (a->base[0] && strcmp(a->base, b->base) == 0)
        return same_date ? 3 : 2;
    return a->sorted[0] && strcmp(a->sorted, b->sorted) == 0;
}
