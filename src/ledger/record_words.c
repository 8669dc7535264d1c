/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a record has words: its id, and how exchanges and attempts end. Depends on nothing, so that programs without a ledger can say the same.
 */
#include "ledger/record.h"

static const char *const outcome_names[RECORD_OUTCOMES] = {
    [RECORD_ANSWERED] = "answered", [RECORD_REFUSED] = "refused",     [RECORD_FAILED] = "failed",
    [RECORD_BROKEN] = "broken",     [RECORD_ABANDONED] = "abandoned",
};

static const char *const attempt_names[ATTEMPT_OUTCOMES] = {
    [ATTEMPT_NONE] = "none",           [ATTEMPT_ANSWERED] = "answered",     [ATTEMPT_CONNECT] = "connect",
    [ATTEMPT_TIMEOUT] = "timeout",     [ATTEMPT_RESET] = "reset",           [ATTEMPT_PROTOCOL] = "protocol",
    [ATTEMPT_REFUSED] = "refused",     [ATTEMPT_RATE] = "rate",             [ATTEMPT_QUOTA] = "quota",
    [ATTEMPT_CREDENTIAL] = "credential", [ATTEMPT_FAULT] = "fault",         [ATTEMPT_CANCELLED] = "cancelled",
    [ATTEMPT_BROKEN] = "broken",
};

const char *record_outcome_name(enum record_outcome o) { return outcome_names[o]; }
const char *attempt_outcome_name(enum attempt_outcome o) { return attempt_names[o]; }

/* ---- ids ---- */

enum { ID_HEAD = 4, ID_ISSUER = 10, ID_COUNTER = 8 };
_Static_assert(ID_HEAD + ID_ISSUER + ID_COUNTER < RECORD_ID_BYTES, "an id has room");
static const char id_digits[] = "0123456789abcdefghijklmnopqrstuv";

static char *write_digits(char *at, uint64_t value, int n)
{
    for (int i = n - 1; i >= 0; i--)
        *at++ = id_digits[value >> (5 * i) & 31];
    return at;
}

void record_id_write(uint64_t issuer, uint64_t counter, char out[RECORD_ID_BYTES])
{
    memcpy(out, "req_", ID_HEAD);
    char *at = write_digits(out + ID_HEAD, issuer, ID_ISSUER);
    *write_digits(at, counter, ID_COUNTER) = '\0';
}

static bool parse_digits(struct span text, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = text.p[i] ? strchr(id_digits, text.p[i]) : NULL;
        if (!digit)
            return false;
        value = value << 5 | (uint64_t)(digit - id_digits);
    }
    *ret = value;
    return true;
}

bool record_id_parse(struct span id, uint64_t *ret_issuer, uint64_t *ret_counter)
{
    return id.n == ID_HEAD + ID_ISSUER + ID_COUNTER && span_starts(id, SPAN("req_")) &&
           parse_digits(span_to(span_from(id, ID_HEAD), ID_ISSUER), ret_issuer) && parse_digits(span_from(id, ID_HEAD + ID_ISSUER), ret_counter);
}
