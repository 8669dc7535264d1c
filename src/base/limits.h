/* SPDX-License-Identifier: Apache-2.0
 *
 * Every maximum of the program. What config can change has its default here; the rest is fixed.
 */
#ifndef ENTENTE_BASE_LIMITS_H
#define ENTENTE_BASE_LIMITS_H

#define KIB 1024u
#define MIB (1024u * KIB)
#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* HTTP, both sides */
#define LIMIT_HEAD_BYTES (64u * KIB)       /* request or response head, all lines; 431 */
#define LIMIT_HEADERS 128u                 /* header lines in one head */
#define LIMIT_TARGET_BYTES (8u * KIB)      /* request target; 414 */
#define LIMIT_CHUNK_LINE_BYTES 256u        /* chunk size line with extensions */
#define LIMIT_TRAILER_BYTES (8u * KIB)
#define LIMIT_BODY_BYTES (32u * MIB)       /* default of limits.body; 413 */
#define LIMIT_READ_BYTES (64u * KIB)       /* one read from a socket; the scratch buffer of a worker */
#define LIMIT_PENDING_BYTES (256u * KIB)   /* bytes waiting for a slow peer before its source is paused */
#define LIMIT_PIPELINE 16u                 /* HTTP/1 requests read ahead on one connection */

/* HTTP/2 */
#define LIMIT_H2_STREAMS 128u              /* concurrent streams that one connection may open */
#define LIMIT_H2_WINDOW (256u * KIB)
#define LIMIT_H2_CONTROL_FRAMES 1000u      /* queued answers to SETTINGS and PING before the connection ends */
#define LIMIT_H2_RESETS 200u               /* streams a peer may reset within ten seconds before GOAWAY */

/* JSON and events */
#define LIMIT_JSON_DEPTH 128u
#define LIMIT_EVENT_BYTES (16u * MIB)      /* one server-sent event from a provider */
#define LIMIT_ERROR_BODY_BYTES (64u * KIB) /* of a provider's error that is read and passed on */

/* exchange */
#define LIMIT_ATTEMPTS 8u
#define LIMIT_DEPLOYMENTS 64u              /* of one model */
#define LIMIT_METER_TEXT_BYTES (16u * KIB) /* answer text kept for an estimate before it is folded into a count */
#define LIMIT_CONFIG_BYTES (4u * MIB)
#define LIMIT_CONFIG_ERRORS 100u

#endif
