/* SPDX-License-Identifier: Apache-2.0
 *
 * What one worker has seen of each deployment. The states, each arrow named by its function:
 *
 *   IN --count_failure: n failures in a row--> OUT --time passes--> RETURNING --time passes--> IN
 *   OUT --count_success--> RETURNING           RETURNING --count_failure: the first one--> OUT, twice as long
 *
 * RESTING (rate limited) stands beside these: it ends by time alone. States that end by time are not stored but read off the clock.
 * Requests that were under way when their deployment was ejected tell of the time before and count no more: a burst of slow
 * failures ejects once.
 */
#include "policy/health.h"

#include <math.h>
#include <stdlib.h>

#include "base/limits.h"

#define LATENCY_TAU_NS (10.0 * NS_PER_S)     /* an observation's weight falls to 1/e in this time */
#define LATENCY_UNKNOWN_NS (2 * NS_PER_S)    /* of a deployment that has not answered yet and is being asked */
#define LATENCY_FAILED_NS (1 * NS_PER_S)     /* a failure counts as at least this slow, or failing fast would look like answering fast */
#define REST_UNSAID_NS (1 * NS_PER_S)        /* a 429 without Retry-After; doubles while they follow each other */
#define RETURN_PERCENT_FIRST 10u             /* share of traffic at the start of a slow return */
#define WINDOW_SLOTS 10u                     /* of one second each, of the retry budget */

struct seen {
    unsigned model;                  /* index in the catalog */
    unsigned under_way;
    unsigned stale;                  /* of those under way: begun before the last ejection */
    double latency_ns;               /* peak-EWMA of the time to the first byte; 0 before the first */
    uint64_t observed_ns;            /* when latency_ns was true */
    unsigned failures;               /* in a row */
    unsigned ejections;              /* in a row: without a healthy stretch between */
    uint64_t out_until_ns;           /* 0: never ejected, or long forgotten */
    unsigned limited;                /* 429s in a row */
    uint64_t rests_until_ns;
};

struct members { /* of one model */
    unsigned first, n; /* in health->members */
};

struct slot {
    uint64_t second;
    unsigned requests, retries;
};

struct health {
    struct retry_policy retry;
    struct ejection_policy ejection;
    struct seen *seen;               /* by deployment index */
    unsigned seen_n;
    struct members *models;          /* by model index */
    unsigned *members;               /* deployment indexes, those of one model together */
    struct slot window[WINDOW_SLOTS];
};

static struct seen *seen_of(const struct health *h, const struct deployment *d)
{
    CHECK(d->index < h->seen_n);
    return &h->seen[d->index];
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static uint64_t doubled(uint64_t base, unsigned times, uint64_t max)
{
    while (times-- && base < max)
        base = base > max / 2 ? max : base * 2;
    return base < max ? base : max;
}

/* ---- a new catalog ---- */

static const struct deployment *same_deployment(const struct catalog *c, const struct model *m, const struct deployment *d)
{
    const struct model *before = catalog_model(c, m->name);
    for (unsigned i = 0; before && span_eq(before->name, m->name) && i < before->deployments_n; i++) {
        const struct deployment *other = before->deployments[i];
        if (strcmp(other->provider->name, d->provider->name) == 0 && span_eq(other->model, d->model))
            return other;
    }
    return NULL;
}

/* Requests under way end in the old health, so the new one starts without them. */
static void carry_over(struct health *h, const struct catalog *c, const struct health *before, const struct catalog *c_before)
{
    memcpy(h->window, before->window, sizeof h->window);
    for (unsigned m = 0; m < c->models_n; m++)
        for (unsigned i = 0; i < c->models[m].deployments_n; i++) {
            const struct deployment *d = c->models[m].deployments[i], *other = same_deployment(c_before, &c->models[m], d);
            if (!other)
                continue;
            struct seen *s = seen_of(h, d);
            *s = *seen_of(before, other);
            s->model = m;
            s->under_way = s->stale = 0;
        }
}

static void *zalloc_array(size_t n, size_t bytes_each)
{
    void *p = calloc(n ? n : 1, bytes_each);
    CHECK(p != NULL);
    return p;
}

struct health *health_new(const struct catalog *c, const struct health *before, const struct catalog *c_before)
{
    struct health *h = zalloc_array(1, sizeof *h);
    h->retry = c->retry;
    h->ejection = c->ejection;
    h->seen_n = c->deployments_n;
    h->seen = zalloc_array(c->deployments_n, sizeof *h->seen);
    h->models = zalloc_array(c->models_n, sizeof *h->models);
    h->members = zalloc_array(c->deployments_n, sizeof *h->members);
    for (unsigned m = 0, at = 0; m < c->models_n; m++) {
        h->models[m] = (struct members){at, c->models[m].deployments_n};
        for (unsigned i = 0; i < c->models[m].deployments_n; i++) {
            const struct deployment *d = c->models[m].deployments[i];
            CHECK(at < h->seen_n); /* a deployment is one model's */
            seen_of(h, d)->model = m;
            h->members[at++] = d->index;
        }
    }
    if (before && c_before)
        carry_over(h, c, before, c_before);
    return h;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    free(h->seen);
    free(h->models);
    free(h->members);
    free(h);
}

/* ---- latency ---- */

static double faded(const struct seen *s, uint64_t now_ns)
{
    return s->latency_ns * exp(-(double)since(now_ns, s->observed_ns) / LATENCY_TAU_NS);
}

/* A slower answer than the average replaces it at once; a quicker one moves it by the weight that time has taken off it. So trouble is
 * seen with the first slow answer, and trust comes back over tau. */
static void observe(struct seen *s, uint64_t now_ns, double took_ns)
{
    double kept = exp(-(double)since(now_ns, s->observed_ns) / LATENCY_TAU_NS);
    s->latency_ns = took_ns > s->latency_ns ? took_ns : s->latency_ns * kept + took_ns * (1 - kept);
    s->observed_ns = now_ns;
}

uint64_t health_latency_ns(const struct health *h, const struct deployment *d, uint64_t now_ns)
{
    const struct seen *s = seen_of(h, d);
    if (s->latency_ns > 0)
        return (uint64_t)(faded(s, now_ns) * (s->under_way + 1.0));
    return s->under_way * LATENCY_UNKNOWN_NS; /* not everybody may run to one that nobody knows */
}

/* ---- states ---- */

static bool is_out(const struct seen *s, uint64_t now_ns)
{
    return s->out_until_ns > now_ns;
}

static bool is_returning(const struct health *h, const struct seen *s, uint64_t now_ns)
{
    return s->out_until_ns && !is_out(s, now_ns) && since(now_ns, s->out_until_ns) < h->ejection.return_ns;
}

enum health_state health_state(const struct health *h, const struct deployment *d, uint64_t now_ns)
{
    const struct seen *s = seen_of(h, d);
    if (is_out(s, now_ns))
        return HEALTH_OUT;
    if (s->rests_until_ns > now_ns)
        return HEALTH_RESTING;
    return is_returning(h, s, now_ns) ? HEALTH_RETURNING : HEALTH_IN;
}

unsigned health_share_percent(const struct health *h, const struct deployment *d, uint64_t now_ns)
{
    const struct seen *s = seen_of(h, d);
    if (is_out(s, now_ns))
        return 0;
    if (!is_returning(h, s, now_ns))
        return 100;
    double part = (double)since(now_ns, s->out_until_ns) / (double)h->ejection.return_ns;
    return RETURN_PERCENT_FIRST + (unsigned)(part * (100 - RETURN_PERCENT_FIRST));
}

unsigned health_under_way(const struct health *h, const struct deployment *d)
{
    return seen_of(h, d)->under_way;
}

uint64_t health_rests_until_ns(const struct health *h, const struct deployment *d)
{
    return seen_of(h, d)->rests_until_ns;
}

uint64_t health_back_at_ns(const struct health *h, const struct deployment *d)
{
    const struct seen *s = seen_of(h, d);
    return s->out_until_ns > s->rests_until_ns ? s->out_until_ns : s->rests_until_ns;
}

/* ---- ejection ---- */

static bool may_eject_one_more(const struct health *h, const struct seen *s, uint64_t now_ns)
{
    const struct members *of = &h->models[s->model];
    unsigned out = 0, most = (unsigned)((uint64_t)of->n * h->ejection.ejected_percent_max / 100);
    if (most == 0 && of->n >= 2 && h->ejection.ejected_percent_max > 0)
        most = 1;
    for (unsigned i = 0; i < of->n; i++)
        out += is_out(&h->seen[h->members[of->first + i]], now_ns);
    return out < most;
}

static void eject(const struct health *h, struct seen *s, uint64_t now_ns)
{
    s->out_until_ns = now_ns + doubled(h->ejection.base_ns, s->ejections, h->ejection.max_ns);
    s->ejections++;
    s->failures = 0;
    s->stale = s->under_way;
}

static void count_failure(struct health *h, struct seen *s, uint64_t now_ns)
{
    observe(s, now_ns, LATENCY_FAILED_NS > s->latency_ns ? (double)LATENCY_FAILED_NS : s->latency_ns);
    if (is_out(s, now_ns))
        return; /* tried as a last resort: as expected */
    s->failures++;
    bool enough = s->failures >= h->ejection.failures || is_returning(h, s, now_ns);
    if (h->ejection.failures && enough && may_eject_one_more(h, s, now_ns))
        eject(h, s, now_ns);
}

static void count_success(const struct health *h, struct seen *s, uint64_t now_ns)
{
    s->failures = 0;
    if (s->rests_until_ns <= now_ns)
        s->limited = 0;
    if (is_out(s, now_ns))
        s->out_until_ns = now_ns; /* it answered when asked as a last resort: it may return now */
    else if (s->ejections && since(now_ns, s->out_until_ns) >= h->ejection.return_ns + doubled(h->ejection.base_ns, s->ejections - 1, h->ejection.max_ns))
        s->ejections = 0; /* in again for as long as it was out */
}

static void rest(const struct health *h, struct seen *s, uint64_t now_ns, uint64_t retry_after_ns)
{
    if (s->rests_until_ns <= now_ns)
        s->limited++; /* several answers to requests of one moment are one */
    if (!retry_after_ns)
        retry_after_ns = doubled(REST_UNSAID_NS, s->limited - 1, h->ejection.max_ns);
    uint64_t until = now_ns + (retry_after_ns < h->ejection.max_ns ? retry_after_ns : h->ejection.max_ns);
    if (until > s->rests_until_ns)
        s->rests_until_ns = until;
}

void health_begin(struct health *h, const struct deployment *d, uint64_t now_ns)
{
    (void)now_ns;
    seen_of(h, d)->under_way++;
}

void health_end(struct health *h, const struct deployment *d, enum health_outcome outcome, uint64_t now_ns, uint64_t first_byte_ns,
                uint64_t retry_after_ns)
{
    struct seen *s = seen_of(h, d);
    if (!NEVER(s->under_way == 0))
        s->under_way--;
    if (outcome == HEALTH_OK && first_byte_ns)
        observe(s, now_ns, (double)first_byte_ns);
    if (outcome == HEALTH_LIMITED)
        rest(h, s, now_ns, retry_after_ns);
    if (s->stale) {
        s->stale--;
        return;
    }
    if (outcome == HEALTH_OK)
        count_success(h, s, now_ns);
    else if (outcome == HEALTH_FAILED)
        count_failure(h, s, now_ns);
}

/* ---- the retry budget ---- */

static struct slot *slot_at(struct health *h, uint64_t now_ns)
{
    uint64_t second = now_ns / NS_PER_S;
    struct slot *slot = &h->window[second % WINDOW_SLOTS];
    if (slot->second != second)
        *slot = (struct slot){.second = second};
    return slot;
}

void health_count_request(struct health *h, uint64_t now_ns)
{
    slot_at(h, now_ns)->requests++;
}

/* In any ten seconds: at most so many retries as the percentage of requests gives, and the floor's share of the ten seconds. */
bool health_take_retry(struct health *h, uint64_t now_ns)
{
    struct slot *now = slot_at(h, now_ns);
    uint64_t requests = 0, retries = 0;
    for (unsigned i = 0; i < WINDOW_SLOTS; i++)
        if (now->second - h->window[i].second < WINDOW_SLOTS) {
            requests += h->window[i].requests;
            retries += h->window[i].retries;
        }
    if (retries >= requests * h->retry.budget_percent / 100 + (uint64_t)h->retry.budget_min_per_s * WINDOW_SLOTS)
        return false;
    now->retries++;
    return true;
}
