/* SPDX-License-Identifier: Apache-2.0
 *
 * Waterfalls, slice by slice. The one complication is the slice that ends a tier: its size is rounded up, so that whoever reaches the stop gets
 * exactly the room that was left and the others share what is more; and none of those may be lifted over a stop of their own by that.
 */
#include "policy/waterfall.h"

#include <stdio.h>

/* ---- stops ---- */

/* What the party may still receive before this stop; not above zero: reached. */
static money stop_room(const struct waterfall_state *s, unsigned tier, const struct waterfall_stop *stop)
{
    return stop->until - (stop->in_this_tier ? s->received_in_tier[tier][stop->party] : s->received[stop->party]);
}

static bool tier_is_over(const struct waterfall *w, const struct waterfall_state *s, unsigned tier)
{
    for (unsigned i = 0; i < w->tiers[tier].stops_n; i++)
        if (stop_room(s, tier, &w->tiers[tier].stops[i]) <= 0)
            return true;
    return false;
}

/* R6: the smallest slice that fills the room, ceil(room x den / num). False when no pot is large enough. */
static bool slice_to_stop(const struct waterfall_tier *t, const struct waterfall_stop *stop, money room, money *ret)
{
    struct rate share = t->share[stop->party];
    money slice, rest;
    if (share.num == 0 || share_of(room, share.den, share.num, &slice, &rest))
        return false;
    return money_add(slice, rest != 0, ret);
}

/* ---- one slice ---- */

/* Parties that reach a stop in this slice, and what exactly they get; the others share the rest. */
struct fixed {
    bool is[SHARE_PARTIES_MAX];
    money amount[SHARE_PARTIES_MAX];
};

static void fix_party(struct fixed *f, unsigned party, money room)
{
    if (!f->is[party] || room < f->amount[party])
        f->amount[party] = room;
    f->is[party] = true;
}

/* The slice of this tier out of pot: as far as the first stop, or all. Who is there at its end is fixed. */
static money slice_amount(const struct waterfall *w, const struct waterfall_state *s, unsigned tier, money pot, struct fixed *f)
{
    const struct waterfall_tier *t = &w->tiers[tier];
    money slices[WATERFALL_STOPS_MAX], amount = pot;
    bool reachable[WATERFALL_STOPS_MAX];
    for (unsigned i = 0; i < t->stops_n; i++) {
        reachable[i] = slice_to_stop(t, &t->stops[i], stop_room(s, tier, &t->stops[i]), &slices[i]);
        if (reachable[i] && slices[i] < amount)
            amount = slices[i];
    }
    for (unsigned i = 0; i < t->stops_n; i++)
        if (reachable[i] && slices[i] == amount)
            fix_party(f, t->stops[i].party, stop_room(s, tier, &t->stops[i]));
    return amount;
}

/* The fixed get what is fixed, the others the rest by their shares (R5). */
static enum err share_slice(const struct waterfall *w, unsigned tier, money amount, const struct fixed *f, money *shares)
{
    money weights[SHARE_PARTIES_MAX], whole, rest = amount;
    enum err e = share_weights(w->tiers[tier].share, w->parties_n, weights, &whole);
    for (unsigned p = 0; p < w->parties_n && !e; p++)
        if (f->is[p]) {
            rest -= f->amount[p];
            weights[p] = 0;
        }
    memset(shares, 0, sizeof(money) * SHARE_PARTIES_MAX);
    if (!e && rest)
        e = share_allot_by(rest, weights, w->parties_n, shares);
    for (unsigned p = 0; p < w->parties_n && !e; p++)
        shares[p] += f->is[p] ? f->amount[p] : 0;
    return e;
}

/* Fixes those whom rounding lifted over a stop of this tier at that stop. True when there were any. */
static bool fix_the_lifted(const struct waterfall *w, const struct waterfall_state *s, unsigned tier, const money *shares, struct fixed *f)
{
    bool any = false;
    for (unsigned i = 0; i < w->tiers[tier].stops_n; i++) {
        const struct waterfall_stop *stop = &w->tiers[tier].stops[i];
        money room = stop_room(s, tier, stop);
        if (shares[stop->party] > room) {
            fix_party(f, stop->party, room);
            any = true;
        }
    }
    return any;
}

static void state_move(const struct waterfall *w, struct waterfall_state *s, unsigned tier, const money *shares, int sign)
{
    for (unsigned p = 0; p < w->parties_n; p++) {
        s->received[p] += sign * shares[p];
        s->received_in_tier[tier][p] += sign * shares[p];
    }
}

static enum err slice_make(const struct waterfall *w, const struct waterfall_state *s, unsigned tier, money pot, struct waterfall_slice *ret)
{
    struct fixed f = {{false}, {0}};
    ret->tier = tier;
    ret->amount = slice_amount(w, s, tier, pot, &f);
    enum err e;
    do
        e = share_slice(w, tier, ret->amount, &f, ret->shares);
    while (!e && fix_the_lifted(w, s, tier, ret->shares, &f));
    return e;
}

static bool has_room(const struct waterfall *w, const struct waterfall_state *s, money pot)
{
    money after;
    bool fits = pot >= 0;
    for (unsigned p = 0; p < w->parties_n; p++)
        fits = fits && money_add(s->received[p], pot, &after);
    return fits;
}

enum err waterfall_distribute(const struct waterfall *w, struct waterfall_state *s, money pot, struct waterfall_slice *out, unsigned *ret_n)
{
    unsigned n = 0;
    if (!has_room(w, s, pot))
        return ERR_RANGE;
    for (unsigned tier = 0; tier < w->tiers_n && pot; tier++) {
        if (tier_is_over(w, s, tier))
            continue;
        enum err e = slice_make(w, s, tier, pot, &out[n]);
        CHECK(!e); /* waterfall_check tried the shares of every tier */
        state_move(w, s, tier, out[n].shares, 1);
        pot -= out[n++].amount;
    }
    CHECK(pot == 0);
    *ret_n = n;
    return ERR_OK;
}

/* ---- undo ---- */

/* Takes part of a slice back, pro rata to what it gave, so that nobody gives back more than they got. */
static enum err slice_shorten(const struct waterfall *w, struct waterfall_state *s, struct waterfall_slice *slice, money by)
{
    money back[SHARE_PARTIES_MAX];
    enum err e = share_allot_by(by, slice->shares, w->parties_n, back);
    if (e)
        return e;
    state_move(w, s, slice->tier, back, -1);
    for (unsigned p = 0; p < w->parties_n; p++)
        slice->shares[p] -= back[p];
    slice->amount -= by;
    return ERR_OK;
}

enum err waterfall_unwind(const struct waterfall *w, struct waterfall_state *s, struct waterfall_slice *slices, unsigned *n, money pot,
                           money *ret_rest)
{
    if (pot < 0)
        return ERR_RANGE;
    for (; *n && pot >= slices[*n - 1].amount; pot -= slices[--*n].amount)
        state_move(w, s, slices[*n - 1].tier, slices[*n - 1].shares, -1);
    *ret_rest = *n ? 0 : pot;
    return *n && pot ? slice_shorten(w, s, &slices[*n - 1], pot) : ERR_OK;
}

/* ---- check ---- */

/* Once `earlier` was reached, `later` is, too. */
static bool stop_implies(const struct waterfall_stop *earlier, const struct waterfall_stop *later)
{
    return earlier->party == later->party && earlier->until >= later->until && !later->in_this_tier;
}

static bool stop_implies_any(const struct waterfall_stop *earlier, const struct waterfall_tier *later)
{
    for (unsigned i = 0; i < later->stops_n; i++)
        if (stop_implies(earlier, &later->stops[i]))
            return true;
    return false;
}

/* However the earlier tier ends, the later one is over before it begins. */
static bool tier_hides(const struct waterfall_tier *earlier, const struct waterfall_tier *later)
{
    for (unsigned i = 0; i < earlier->stops_n; i++)
        if (!stop_implies_any(&earlier->stops[i], later))
            return false;
    return true;
}

static bool tier_is_hidden(const struct waterfall *w, unsigned tier)
{
    for (unsigned i = 0; i < tier; i++)
        if (tier_hides(&w->tiers[i], &w->tiers[tier]))
            return true;
    return false;
}

static bool shares_are_whole(const struct waterfall *w, const struct waterfall_tier *t)
{
    money weights[SHARE_PARTIES_MAX], whole, sum = 0;
    if (share_weights(t->share, w->parties_n, weights, &whole))
        return false;
    for (unsigned p = 0; p < w->parties_n; p++)
        if (!money_add(sum, weights[p], &sum))
            return false;
    return sum == whole;
}

static bool stops_are_sound(const struct waterfall *w, const struct waterfall_tier *t)
{
    for (unsigned i = 0; i < t->stops_n; i++)
        if (t->stops[i].party >= w->parties_n || t->stops[i].until <= 0)
            return false;
    return true;
}

/* Somebody whom a stop is about gets a share, so that the tier ends one day. */
static bool tier_ends(const struct waterfall_tier *t)
{
    for (unsigned i = 0; i < t->stops_n; i++)
        if (t->share[t->stops[i].party].num)
            return true;
    return false;
}

static const char *tier_complaint(const struct waterfall *w, unsigned tier)
{
    const struct waterfall_tier *t = &w->tiers[tier];
    bool last = tier + 1 == w->tiers_n;
    if (!shares_are_whole(w, t))
        return "the shares must be 0% or more each and add up to exactly 100%";
    if (t->stops_n > WATERFALL_STOPS_MAX || !stops_are_sound(w, t))
        return "a stop must name a party of the waterfall and an amount above zero, and a tier has at most 4";
    if (last && t->stops_n)
        return "the last tier has a stop, so that nobody would get what is left; add a tier without";
    if (!last && !t->stops_n)
        return "this tier has no stop, so that the tiers after it would never pay; give it one, or make it the last";
    if (!last && !tier_ends(t))
        return "nobody whom its stop is about has a share in it, so that it never ends";
    if (tier_is_hidden(w, tier))
        return "this tier is never reached: an earlier one ends no sooner than this one would";
    return NULL;
}

static enum err complain(const struct waterfall *w, const char *tier, const char *complaint, char why[WATERFALL_WHY_BYTES])
{
    (void)snprintf(why, WATERFALL_WHY_BYTES, "waterfall %s%s%s: %s", w->name, tier ? ", tier " : "", tier ? tier : "", complaint);
    return ERR_SYNTAX;
}

enum err waterfall_check(const struct waterfall *w, char why[WATERFALL_WHY_BYTES])
{
    if (w->parties_n < 1 || w->parties_n > SHARE_PARTIES_MAX)
        return complain(w, NULL, "it needs 1 to 32 parties", why);
    if (w->tiers_n < 1 || w->tiers_n > WATERFALL_TIERS_MAX)
        return complain(w, NULL, "it needs 1 to 32 tiers", why);
    for (unsigned tier = 0; tier < w->tiers_n; tier++) {
        const char *complaint = tier_complaint(w, tier);
        if (complaint)
            return complain(w, w->tiers[tier].name, complaint, why);
    }
    return ERR_OK;
}
