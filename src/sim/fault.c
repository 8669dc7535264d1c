/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults by name: how the command line says them, and when one is due.
 */
#include <stdio.h>

#include "base/clock.h"
#include "sim/provider.h"
#include "sim/random.h"

enum takes { TAKES_NOTHING = 0, TAKES_BYTES = 1, TAKES_DELAY = 2, TAKES_STATUS = 4 };

static const struct {
    const char *name;
    unsigned takes;
    uint64_t delay_ns; /* when none is said */
} kinds[SIM_FAULTS] = {
    [SIM_FAULT_NONE] = {"none", TAKES_NOTHING, 0},
    [SIM_FAULT_REFUSE] = {"refuse", TAKES_NOTHING, 0},
    [SIM_FAULT_RESET] = {"reset", TAKES_BYTES, 0},
    [SIM_FAULT_CLOSE] = {"close", TAKES_BYTES, 0},
    [SIM_FAULT_STALL] = {"stall", TAKES_BYTES | TAKES_DELAY, 60 * NS_PER_S},
    [SIM_FAULT_HANG] = {"hang", TAKES_NOTHING, 0},
    [SIM_FAULT_RATE] = {"rate", TAKES_DELAY, NS_PER_S},
    [SIM_FAULT_QUOTA] = {"quota", TAKES_NOTHING, 0},
    [SIM_FAULT_STATUS] = {"status", TAKES_STATUS, 0},
    [SIM_FAULT_HTML] = {"html", TAKES_NOTHING, 0},
    [SIM_FAULT_BROKEN_JSON] = {"broken-json", TAKES_BYTES, 0},
    [SIM_FAULT_NO_DONE] = {"no-done", TAKES_NOTHING, 0},
    [SIM_FAULT_NO_USAGE] = {"no-usage", TAKES_NOTHING, 0},
    [SIM_FAULT_ERROR_EVENT] = {"error-event", TAKES_BYTES, 0},
    [SIM_FAULT_ERROR_IN_200] = {"error-in-200", TAKES_NOTHING, 0},
    [SIM_FAULT_SLOW] = {"slow", TAKES_DELAY, NS_PER_MS},
};

const char *sim_fault_name(enum sim_fault_kind k) { return (unsigned)k < SIM_FAULTS ? kinds[k].name : "?"; }

static enum err complain(char why[128], const char *about, struct span text)
{
    snprintf(why, 128, "%s: \"%.*s\"", about, SPAN_ARG(span_to(text, 60)));
    return ERR_INVALID_PARAMETER;
}

static enum err parse_kind(struct span name, struct sim_fault *f, char why[128])
{
    for (unsigned k = 1; k < SIM_FAULTS; k++)
        if (span_eq(name, span_str(kinds[k].name))) {
            f->kind = (enum sim_fault_kind)k;
            f->delay_ns = kinds[k].delay_ns;
            f->status = 500;
            return ERR_OK;
        }
    snprintf(why, 128, "\"%.*s\" is no fault; `entente sim --help` lists them", SPAN_ARG(span_to(name, 20)));
    return ERR_INVALID_PARAMETER;
}

static enum err parse_argument(struct span text, struct sim_fault *f, char why[128])
{
    unsigned takes = kinds[f->kind].takes;
    uint64_t number;
    if ((takes & TAKES_DELAY) && clock_parse_duration(text, &f->delay_ns) == ERR_OK)
        return ERR_OK;
    bool is_number = span_to_u64(text, &number);
    if ((takes & TAKES_BYTES) && is_number) {
        f->bytes = number;
        return ERR_OK;
    }
    if ((takes & TAKES_STATUS) && is_number && number >= 400 && number <= 599) {
        f->status = (int)number;
        return ERR_OK;
    }
    return complain(why,
                    takes & TAKES_STATUS               ? "a status is a number from 400 to 599"
                    : takes == TAKES_BYTES             ? "this fault takes a number of bytes"
                    : takes == TAKES_DELAY             ? "this fault takes a time such as 2s"
                    : takes                            ? "this fault takes bytes, a time such as 2s, or both"
                                                       : "this fault takes no argument",
                    text);
}

/* "0.5%": in millionths */
static bool parse_percent(struct span text, uint32_t *ret_ppm)
{
    struct span whole = span_cut(&text, '.');
    uint64_t value, part = 0;
    if (!span_to_u64(whole, &value) || value > 100 || (text.p && (text.n > 4 || !span_to_u64(text, &part))))
        return false;
    for (size_t i = text.p ? text.n : 0; i < 4; i++)
        part *= 10;
    *ret_ppm = (uint32_t)(value * 10000 + part);
    return *ret_ppm <= 1000000;
}

static enum err parse_when(struct span text, struct sim_fault *f, char why[128])
{
    bool good;
    if (span_starts(text, SPAN("every:")))
        good = span_to_u64(span_from(text, 6), &f->every) && f->every > 0;
    else if (span_ends(text, SPAN("%")))
        good = parse_percent(span_to(text, text.n - 1), &f->probability_ppm) && f->probability_ppm > 0;
    else
        good = span_to_u64(text, &f->nth) && f->nth > 0;
    return good ? ERR_OK : complain(why, "when: a number (the Nth request), every:N or P%", text);
}

enum err sim_fault_parse(struct span text, struct sim_fault *ret, char why[128])
{
    struct sim_fault f = {0};
    struct span rest = text, what = span_cut(&rest, '@');
    if (!rest.p)
        return complain(why, "a fault says when: KIND@N, KIND@every:N or KIND@P%", text);
    struct span name = span_cut(&what, ':');
    enum err e = parse_kind(name, &f, why);
    while (!e && what.p)
        e = parse_argument(span_cut(&what, ','), &f, why);
    if (!e)
        e = parse_when(rest, &f, why);
    if (!e)
        *ret = f;
    return e;
}

bool sim_fault_is_due(const struct sim_fault *f, uint64_t nth_request, uint64_t *random)
{
    if (f->probability_ppm)
        return sim_random_below(random, 1000000) < f->probability_ppm;
    if (f->every)
        return nth_request % f->every == 0;
    return !f->nth || f->nth == nth_request;
}
