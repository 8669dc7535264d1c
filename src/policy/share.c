/* SPDX-License-Identifier: Apache-2.0
 *
 * Dividing money. All of it goes through share_of, which multiplies and divides in one walk over the bits where the product would not fit;
 * and through largest_rests, which hands out the units that rounding down left over.
 */
#include "policy/share.h"

typedef unsigned __int128 magnitude;

/* m x num / den for num < den, bit by bit from the top of m: quotient x den + rest = (the bits so far) x num. */
static magnitude walk_bits(magnitude m, magnitude num, magnitude den, magnitude *ret_rest)
{
    magnitude quotient = 0, rest = 0, product;
    if (!__builtin_mul_overflow(m, num, &product)) { /* nearly always */
        *ret_rest = product % den;
        return product / den;
    }
    for (int bit = 126; bit >= 0; bit--) {
        quotient <<= 1;
        rest <<= 1;
        if (rest >= den) {
            rest -= den;
            quotient++;
        }
        rest += (m >> bit) & 1 ? num : 0;
        if (rest >= den) {
            rest -= den;
            quotient++;
        }
    }
    *ret_rest = rest;
    return quotient;
}

enum err share_of(money m, money num, money den, money *ret, money *ret_rest)
{
    magnitude rest;
    money whole, part;
    if (den <= 0 || num < 0 || m < -MONEY_MAX)
        return ERR_RANGE;
    part = (money)walk_bits((magnitude)(m < 0 ? -m : m), (magnitude)(num % den), (magnitude)den, &rest);
    if (m < 0) {
        part = -part - (rest != 0);
        rest = rest ? (magnitude)den - rest : 0;
    }
    if (__builtin_mul_overflow(m, num / den, &whole) || !money_add(whole, part, &whole))
        return ERR_RANGE;
    *ret = whole;
    if (ret_rest)
        *ret_rest = (money)rest;
    return ERR_OK;
}

enum err share_accrue(struct rate r, money base_cumulative, money accrued, money cap, money *ret)
{
    money due, now;
    enum err e = share_of(base_cumulative, r.num, r.den, &due, NULL);
    if (e)
        return e;
    if (__builtin_sub_overflow(due < cap ? due : cap, accrued, &now))
        return ERR_RANGE;
    *ret = now;
    return ERR_OK;
}

/* ---- the largest remainder ---- */

static unsigned count_from(const money *rests, unsigned n, money least)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++)
        found += rests[i] >= least;
    return found;
}

/* The largest of the rests (none negative) that at least k of them reach. */
static money kth_largest(const money *rests, unsigned n, unsigned k)
{
    money low = 0, high = 0;
    for (unsigned i = 0; i < n; i++)
        high = rests[i] > high ? rests[i] : high;
    while (low < high) {
        money middle = low + (high - low) / 2 + 1;
        if (count_from(rests, n, middle) >= k)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Turns each rest into the 1 or 0 units that it is given when k units go to the k largest, ties to the first listed. k <= n. */
static void largest_rests(money *rests, unsigned n, unsigned k)
{
    money least = kth_largest(rests, n, k);
    unsigned ties = k - count_from(rests, n, least + 1); /* a rest is below its divisor, so this fits */
    for (unsigned i = 0; i < n; i++) {
        bool tied = rests[i] == least && ties;
        ties -= tied;
        rests[i] = rests[i] > least || tied;
    }
}

static enum err weights_sum(const money *weights, unsigned n, money *ret)
{
    money sum = 0;
    for (unsigned i = 0; i < n; i++)
        if (weights[i] < 0 || !money_add(sum, weights[i], &sum))
            return ERR_RANGE;
    *ret = sum;
    return sum ? ERR_OK : ERR_RANGE;
}

/* out first holds the rests, then the units they earn, then the shares. share_of cannot fail: no weight is above the sum. */
static enum err allot_positive(money pot, const money *weights, unsigned n, money sum, money *out)
{
    enum err e = ERR_OK;
    money given = 0, share;
    for (unsigned i = 0; i < n && !e; i++, given += share)
        e = share_of(pot, weights[i], sum, &share, &out[i]);
    if (e)
        return e;
    largest_rests(out, n, (unsigned)(pot - given));
    for (unsigned i = 0; i < n && !e; i++) {
        e = share_of(pot, weights[i], sum, &share, NULL);
        out[i] += share;
    }
    return e;
}

enum err share_allot_by(money pot, const money *weights, unsigned n, money *out)
{
    money sum;
    if (pot < -MONEY_MAX)
        return ERR_RANGE;
    enum err e = weights_sum(weights, n, &sum);
    if (e || (e = allot_positive(pot < 0 ? -pot : pot, weights, n, sum, out)))
        return e;
    for (unsigned i = 0; i < n && pot < 0; i++)
        out[i] = -out[i];
    return ERR_OK;
}

enum err share_weights(const struct rate *rates, unsigned n, money *weights, money *ret_whole)
{
    money whole = 1;
    for (unsigned i = 0; i < n; i++)
        if (rates[i].num < 0 || rates[i].den <= 0 || __builtin_mul_overflow(whole, rates[i].den / money_common_divisor(whole, rates[i].den), &whole))
            return ERR_RANGE;
    for (unsigned i = 0; i < n; i++)
        if (__builtin_mul_overflow(whole / rates[i].den, (money)rates[i].num, &weights[i]))
            return ERR_RANGE;
    *ret_whole = whole;
    return ERR_OK;
}

enum err share_allot(money pot, const struct rate *weights, unsigned n, money *out)
{
    money integers[SHARE_PARTIES_MAX], whole;
    if (n > SHARE_PARTIES_MAX)
        return ERR_RANGE;
    enum err e = share_weights(weights, n, integers, &whole);
    return e ? e : share_allot_by(pot, integers, n, out);
}

/* ---- commitments ---- */

money commit_shortfall(money required_cumulative, money counted_cumulative, money paid_shortfalls)
{
    money covered, missing;
    if (!money_add(counted_cumulative, paid_shortfalls, &covered))
        return counted_cumulative > 0 ? 0 : MONEY_MAX;
    if (__builtin_sub_overflow(required_cumulative, covered, &missing))
        return covered > 0 ? 0 : MONEY_MAX;
    return missing > 0 ? missing : 0;
}

static bool milestones_increase(int64_t from_us, const struct milestone *m, unsigned n)
{
    struct milestone before = {.at_us = from_us};
    for (unsigned i = 0; i < n; before = m[i++])
        if (m[i].at_us <= before.at_us || m[i].required < before.required)
            return false;
    return true;
}

enum err commit_required(int64_t from_us, const struct milestone *m, unsigned n, int64_t now_us, money *ret)
{
    struct milestone before = {.at_us = from_us};
    money step;
    if (!milestones_increase(from_us, m, n))
        return ERR_RANGE;
    unsigned next = 0;
    while (next < n && m[next].at_us <= now_us)
        before = m[next++];
    if (next == n || now_us <= from_us) {
        *ret = before.required;
        return ERR_OK;
    }
    enum err e = share_of(m[next].required - before.required, (money)now_us - before.at_us, (money)m[next].at_us - before.at_us, &step, NULL);
    if (!e)
        *ret = before.required + step;
    return e;
}

/* ---- settlement ---- */

static money minor_unit(int decimals)
{
    money unit = 1;
    for (int i = decimals < 0 ? 0 : decimals; i < MONEY_DECIMALS; i++)
        unit *= 10;
    return unit;
}

money settle_minor_units(money m, int decimals)
{
    return m - m % minor_unit(decimals);
}

/* What is left of the line above the multiple of unit below it. */
static money rest_of(money line, money unit)
{
    money rest = line % unit;
    return rest < 0 ? rest + unit : rest;
}

/* sign is that of the total, so that a statement and its reversal show the same digits. */
static void display_lines(const money *lines, unsigned n, money unit, money total, int sign, money *out)
{
    money below = 0; /* in wrapping arithmetic: only its difference to total matters, which is less than n units */
    for (unsigned i = 0; i < n; i++) {
        out[i] = rest_of(lines[i] * sign, unit);
        below = (money)((magnitude)below + (magnitude)(lines[i] * sign - out[i]));
    }
    largest_rests(out, n, (unsigned)((money)((magnitude)(total * sign) - (magnitude)below) / unit));
    for (unsigned i = 0; i < n; i++)
        out[i] = sign * (lines[i] * sign - rest_of(lines[i] * sign, unit) + out[i] * unit);
}

enum err settle_display(const money *lines, unsigned n, int decimals, money *out, money *ret_total)
{
    money sum = 0;
    for (unsigned i = 0; i < n; i++)
        if (lines[i] < -MONEY_MAX / 2 || lines[i] > MONEY_MAX / 2 || !money_add(sum, lines[i], &sum)) /* half: a unit more still fits */
            return ERR_RANGE;
    *ret_total = settle_minor_units(sum, decimals);
    display_lines(lines, n, minor_unit(decimals), *ret_total, sum < 0 ? -1 : 1, out);
    return ERR_OK;
}

enum err fx_convert(money from, struct rate to_per_from, money *ret)
{
    return share_of(from, to_per_from.num, to_per_from.den, ret, NULL);
}
