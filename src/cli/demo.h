/* SPDX-License-Identifier: Apache-2.0
 *
 * The two halves of `entente demo`: cli_demo.c runs it, demo_books.c keeps the gateway's books and holds them against what the simulated
 * providers counted, against the usage log's file and against what the clients asked for. Nobody else includes this.
 */
#ifndef ENTENTE_CLI_DEMO_H
#define ENTENTE_CLI_DEMO_H

#include <pthread.h>

#include "ledger/record.h"
#include "sim/provider.h"
#include "sim/replay.h"

#define DEMO_PROVIDERS 3u
#define DEMO_KEYS 3u
#define DEMO_VICTIM 0u          /* the provider that is killed */

struct demo_provider {
    const char *name, *dialect, *model, *path;
};
struct demo_key {
    const char *name, *department, *variable;
};
extern const struct demo_provider demo_providers[DEMO_PROVIDERS];
extern const struct demo_key demo_keys[DEMO_KEYS];

/* What the gateway's records say. */
struct demo_account {
    uint64_t records, answered, broken, estimated, input, output;
    uint64_t failed_attempts; /* at this provider, that another attempt or an error followed */
};

struct demo_books {
    pthread_mutex_t lock;
    struct demo_account provider[DEMO_PROVIDERS], key[DEMO_KEYS], all;
    uint64_t unknown;           /* records that cannot say what was used */
    uint64_t retried;           /* records with more than one attempt */
};

void demo_books_init(struct demo_books *b);
void demo_books_on_record(void *books, const struct usage_record *r, struct span line); /* any thread */
struct demo_books demo_books_read(struct demo_books *b);                                /* a copy */

/* What is compared. */
struct demo_outcome {
    struct demo_books books;
    struct sim_count counts[DEMO_PROVIDERS];
    const struct replay *replay;
    const char *trace_name, *usage_file;
    double seconds;
};

struct demo_verdict {
    struct demo_account file;       /* of usage.jsonl */
    unsigned differences;
    char first[400];                /* the first difference, in words */
};

struct demo_verdict demo_judge(const struct demo_outcome *o);
void demo_tell(const struct demo_outcome *o, const struct demo_verdict *v);
void demo_tell_json(const struct demo_outcome *o, const struct demo_verdict *v);

static inline double demo_first_ms(const struct replay *r, double quantile) { return (double)replay_first_token_ns(r, quantile) / 1e6; }

#endif
