/* SPDX-License-Identifier: Apache-2.0
 *
 * What one worker has seen of each deployment: requests under way, latency (peak-EWMA), failures, ejection and slow return, and the
 * budget for retries. Belongs to one thread; nothing here is shared.
 */
#ifndef ENTENTE_POLICY_HEALTH_H
#define ENTENTE_POLICY_HEALTH_H

#include "policy/catalog.h"

struct health;

enum health_outcome {
    HEALTH_OK,       /* an answer, also a 4xx that is the client's fault */
    HEALTH_FAILED,   /* connect failure, 5xx, timeout, broken answer: counts towards ejection */
    HEALTH_LIMITED,  /* 429: not a failure; the deployment rests until retry_after */
    HEALTH_ABANDONED /* the client left: says nothing */
};

enum health_state { HEALTH_IN, HEALTH_OUT /* ejected */, HEALTH_RESTING /* rate limited */, HEALTH_RETURNING };

struct health *health_new(const struct catalog *c, const struct health *before, const struct catalog *c_before); /* carries over by provider and model name */
void health_free(struct health *h);

void health_begin(struct health *h, const struct deployment *d, uint64_t now_ns);
/* first_byte_ns: time to the first byte, 0 when none came. retry_after_ns: of HEALTH_LIMITED, 0 when unsaid. */
void health_end(struct health *h, const struct deployment *d, enum health_outcome outcome, uint64_t now_ns, uint64_t first_byte_ns, uint64_t retry_after_ns);
enum health_state health_state(const struct health *h, const struct deployment *d, uint64_t now_ns);
uint64_t health_latency_ns(const struct health *h, const struct deployment *d, uint64_t now_ns); /* peak-EWMA times (under way + 1) */
unsigned health_under_way(const struct health *h, const struct deployment *d);
uint64_t health_rests_until_ns(const struct health *h, const struct deployment *d); /* 0 when it does not */
uint64_t health_back_at_ns(const struct health *h, const struct deployment *d); /* when ejection and rest are both over; in the past when they are */
unsigned health_share_percent(const struct health *h, const struct deployment *d, uint64_t now_ns); /* of its traffic: 0 ejected, 10 to 100 returning, 100 */

void health_count_request(struct health *h, uint64_t now_ns);  /* feeds the retry budget */
bool health_take_retry(struct health *h, uint64_t now_ns);     /* may one more retry be made? */

#endif
