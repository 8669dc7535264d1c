/* SPDX-License-Identifier: Apache-2.0
 *
 * Format of a hold, little endian: version u8 = 1, api u8, stream u8, 0 u8, attempts u16, 0 u16; issuer, counter, wall_us u64; key, department,
 * party, model_asked, provider, model, buy, sell u32; input_expected, output_max, held (two), opened_seq u64.
 */
#include "ledger/hold.h"

#include <endian.h>

#define HOLD_VERSION 1u

struct packed {
    uint8_t version, api, stream, zero;
    uint16_t attempts, zeros;
    uint64_t issuer, counter, wall_us;
    uint32_t names[6], buy, sell;
    uint64_t input_expected, output_max, held_low, held_high, opened_seq;
};
_Static_assert(sizeof(struct packed) == HOLD_BYTES, "no padding");

enum err hold_encode(const struct hold *h, struct buf *out)
{
    unsigned __int128 held = (unsigned __int128)h->held;
    struct packed p = {
        .version = HOLD_VERSION, .api = h->api, .stream = h->stream, .attempts = htole16(h->attempts),
        .issuer = htole64(h->issuer), .counter = htole64(h->counter), .wall_us = htole64((uint64_t)h->wall_us),
        .names = {htole32(h->key), htole32(h->department), htole32(h->party), htole32(h->model_asked), htole32(h->provider), htole32(h->model)},
        .buy = htole32(h->buy), .sell = htole32(h->sell),
        .input_expected = htole64((uint64_t)h->input_expected), .output_max = htole64((uint64_t)h->output_max),
        .held_low = htole64((uint64_t)held), .held_high = htole64((uint64_t)(held >> 64)), .opened_seq = htole64(h->opened_seq),
    };
    return buf_append(out, span_of(&p, sizeof p));
}

enum err hold_decode(struct span *body, struct hold *ret)
{
    struct packed p;
    if (body->n < sizeof p)
        return ERR_SYNTAX;
    memcpy(&p, body->p, sizeof p);
    if (p.version != HOLD_VERSION || p.stream > 1 || p.zero || p.zeros)
        return ERR_SYNTAX;
    *body = span_from(*body, sizeof p);
    *ret = (struct hold){
        .issuer = le64toh(p.issuer), .counter = le64toh(p.counter), .wall_us = (int64_t)le64toh(p.wall_us),
        .api = p.api, .stream = p.stream, .attempts = le16toh(p.attempts),
        .key = le32toh(p.names[0]), .department = le32toh(p.names[1]), .party = le32toh(p.names[2]),
        .model_asked = le32toh(p.names[3]), .provider = le32toh(p.names[4]), .model = le32toh(p.names[5]),
        .buy = le32toh(p.buy), .sell = le32toh(p.sell),
        .input_expected = (int64_t)le64toh(p.input_expected), .output_max = (int64_t)le64toh(p.output_max),
        .held = (money)((unsigned __int128)le64toh(p.held_high) << 64 | le64toh(p.held_low)), .opened_seq = le64toh(p.opened_seq),
    };
    return ERR_OK;
}
