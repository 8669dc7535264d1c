/* SPDX-License-Identifier: Apache-2.0
 *
 * Decimal text to integers and back, exact or refused. A number is read as mantissa x 10^exponent, with the zeros at its end held back until a
 * digit follows them, so that "100000…0e-390" is as good as "1" and nothing but the value decides whether it fits.
 */
#include "base/money.h"

#define TEXT_MAX 400
#define EXPONENT_MAX 100000 /* past any length of text: more is the same as infinite */

typedef unsigned __int128 magnitude;

struct decimal {
    bool negative, too_long; /* too_long: more digits than a magnitude holds */
    magnitude mantissa;
    int64_t exponent;
    unsigned zeros; /* read, not yet in the mantissa */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool multiply_by_ten(magnitude *m, int64_t times)
{
    for (; *m && times > 0; times--)
        if (__builtin_mul_overflow(*m, (magnitude)10, m))
            return false;
    return true;
}

static void take_digit(struct decimal *d, char c)
{
    unsigned digit = (unsigned)(c - '0');
    d->zeros++;
    if (digit == 0 || d->too_long)
        return;
    d->too_long = !multiply_by_ten(&d->mantissa, d->zeros) || __builtin_add_overflow(d->mantissa, digit, &d->mantissa);
    d->zeros = 0;
}

/* Takes digits off the front of rest; how many. */
static size_t take_digits(struct decimal *d, struct span *rest)
{
    size_t n = 0;
    for (; n < rest->n && is_digit(rest->p[n]); n++)
        take_digit(d, rest->p[n]);
    *rest = span_from(*rest, n);
    return n;
}

static bool take_char(struct span *rest, char c)
{
    bool there = rest->n && rest->p[0] == c;
    *rest = span_from(*rest, there);
    return there;
}

static bool take_exponent(struct decimal *d, struct span *rest)
{
    int64_t value = 0;
    bool negative = take_char(rest, '-');
    if (!negative)
        (void)take_char(rest, '+');
    if (rest->n == 0)
        return false;
    for (; rest->n && is_digit(rest->p[0]); *rest = span_from(*rest, 1))
        if (value < EXPONENT_MAX)
            value = value * 10 + (rest->p[0] - '0');
    d->exponent += negative ? -value : value;
    return true;
}

/* sign digits [. digits] [e sign digits], and nothing else. */
static enum err decimal_parse(struct span text, struct decimal *ret)
{
    struct decimal d = {.negative = take_char(&text, '-')};
    if (take_digits(&d, &text) == 0)
        return ERR_SYNTAX;
    if (take_char(&text, '.')) {
        size_t decimals = take_digits(&d, &text);
        if (decimals == 0)
            return ERR_SYNTAX;
        d.exponent = -(int64_t)decimals;
    }
    if ((take_char(&text, 'e') || take_char(&text, 'E')) && !take_exponent(&d, &text))
        return ERR_SYNTAX;
    d.exponent += d.zeros;
    *ret = d;
    return text.n ? ERR_SYNTAX : ERR_OK;
}

/* The mantissa ends in no zero, so what is left below the point does not come out whole. */
static enum err decimal_scale(const struct decimal *d, int scale, money *ret)
{
    magnitude m = d->mantissa;
    int64_t shift = d->exponent + scale;
    if (d->too_long || (m && shift < 0) || !multiply_by_ten(&m, shift))
        return ERR_RANGE;
    if (m > (magnitude)MONEY_MAX)
        return ERR_RANGE;
    *ret = d->negative ? -(money)m : (money)m;
    return ERR_OK;
}

enum err money_parse_scaled(struct span text, int scale, money *ret)
{
    struct decimal d;
    if (text.n > TEXT_MAX)
        return ERR_RANGE;
    enum err e = decimal_parse(text, &d);
    return e ? e : decimal_scale(&d, scale, ret);
}

enum err money_parse(struct span text, money *ret)
{
    return money_parse_scaled(text, MONEY_DECIMALS, ret);
}

enum err money_parse_price(struct span text, int64_t *ret)
{
    money price;
    enum err e = money_parse_scaled(text, 9, &price);
    if (e)
        return e;
    if (price < 0 || price > INT64_MAX)
        return ERR_RANGE;
    *ret = (int64_t)price;
    return ERR_OK;
}

enum err money_parse_integer(struct span text, money *ret)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_digit(text.p[i]) && (i || text.p[i] != '-'))
            return ERR_SYNTAX;
    return money_parse_scaled(text, 0, ret);
}

/* ---- text ---- */

static magnitude magnitude_of(money m)
{
    return m < 0 ? -(magnitude)m : (magnitude)m;
}

/* Digits to the left of end, at least so many; where they begin. */
static char *digits_before(char *end, magnitude m, unsigned digits_min)
{
    char *at = end;
    for (; m || at > end - digits_min; m /= 10)
        *--at = (char)('0' + (int)(m % 10));
    return at;
}

static struct span text_finish(char out[MONEY_TEXT_BYTES], const char *from, const char *end)
{
    size_t n = (size_t)(end - from);
    memcpy(out, from, n);
    out[n] = '\0';
    return span_of(out, n);
}

struct span money_format_integer(char out[MONEY_TEXT_BYTES], money m)
{
    char text[MONEY_TEXT_BYTES], *end = text + sizeof text, *at = digits_before(end, magnitude_of(m), 1);
    if (m < 0)
        *--at = '-';
    return text_finish(out, at, end);
}

struct span money_format(char out[MONEY_TEXT_BYTES], money m, unsigned decimals_min)
{
    char text[MONEY_TEXT_BYTES], *end = text + sizeof text, *at = digits_before(end, magnitude_of(m), MONEY_DECIMALS + 1);
    char *point = end - MONEY_DECIMALS - 1; /* the digits before it move one to the left, to make room */
    memmove(at - 1, at, (size_t)(point + 1 - at));
    *point = '.';
    at -= 1;
    if (m < 0)
        *--at = '-';
    while (end[-1] == '0' && end - point - 1 > (ptrdiff_t)decimals_min)
        end--;
    return text_finish(out, at, end - point == 1 ? point : end);
}

/* ---- rates ---- */

money money_common_divisor(money a, money b)
{
    while (b) {
        money rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

static enum err rate_of(money num, money den, struct rate *ret)
{
    if (den <= 0)
        return ERR_RANGE;
    money common = money_common_divisor(num, den);
    num /= common;
    den /= common;
    if (num > INT64_MAX || num < -INT64_MAX || den > INT64_MAX)
        return ERR_RANGE;
    *ret = (struct rate){(int64_t)num, (int64_t)den};
    return ERR_OK;
}

static enum err parse_fraction(struct span num_text, struct span den_text, struct rate *ret)
{
    money num, den;
    enum err e = money_parse_integer(num_text, &num);
    if (e || (e = money_parse_integer(den_text, &den)))
        return e;
    return rate_of(num, den, ret);
}

enum err rate_parse(struct span text, struct rate *ret)
{
    money num;
    ptrdiff_t slash = span_find(text, '/');
    if (slash >= 0)
        return parse_fraction(span_to(text, (size_t)slash), span_from(text, (size_t)slash + 1), ret);
    bool percent = span_ends(text, SPAN("%"));
    enum err e = money_parse_scaled(span_to(text, text.n - percent), percent ? 16 : 18, &num);
    return e ? e : rate_of(num, MONEY_ONE * 1000, ret); /* in 10^-18 */
}

struct span rate_format(char out[MONEY_TEXT_BYTES], struct rate r)
{
    char den[MONEY_TEXT_BYTES];
    money percent = MONEY_ONE * 100 * r.num; /* below 10^37 */
    bool exact = percent % r.den == 0;
    struct span head = exact ? money_format(out, percent / r.den, 0) : money_format_integer(out, r.num);
    struct span tail = exact ? SPAN_NONE : money_format_integer(den, r.den);
    out[head.n] = exact ? '%' : '/';
    if (tail.n)
        memcpy(out + head.n + 1, tail.p, tail.n);
    out[head.n + 1 + tail.n] = '\0';
    return span_of(out, head.n + 1 + tail.n);
}

enum err money_times_exact(money m, struct rate r, money *ret)
{
    struct rate reduced;
    money product;
    enum err e = rate_of(r.num, r.den, &reduced);
    if (e)
        return e;
    if (m % reduced.den || __builtin_mul_overflow(m / reduced.den, (money)reduced.num, &product))
        return ERR_RANGE;
    *ret = product;
    return ERR_OK;
}

/* ---- currencies ---- */

static const struct {
    int decimals;
    const char *codes; /* "USD EUR ", four bytes each */
} currencies[] = {
#define CURRENCIES(decimals, codes) {decimals, codes},
#include "base/currency.def"
#undef CURRENCIES
};

static bool is_code(struct span code, const char *at)
{
    return span_eq_nocase(code, span_of(at, 3));
}

static const char *find_code(struct span code, int *ret_decimals)
{
    for (size_t i = 0; i < COUNT_OF(currencies); i++)
        for (const char *at = currencies[i].codes; *at; at += 4)
            if (is_code(code, at)) {
                *ret_decimals = currencies[i].decimals;
                return at;
            }
    return NULL;
}

int currency_decimals(struct span code)
{
    int decimals = -1;
    (void)find_code(code, &decimals);
    return decimals;
}

bool currency_parse(struct span text, char ret[CURRENCY_BYTES])
{
    int decimals;
    const char *code = find_code(text, &decimals);
    if (code) {
        memcpy(ret, code, 3);
        ret[3] = '\0';
    }
    return code != NULL;
}
