/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of `entente demo`: cli_demo.c runs it, demo_books.c keeps what the gateway's records say and holds it against what the simulated
 * providers counted and what the clients asked for, demo_money.c reads the ledger, checks it and holds its balances against the providers'
 * counts times the prices. Nobody else includes this.
 */
#ifndef ENTENTE_CLI_DEMO_H
#define ENTENTE_CLI_DEMO_H

#include <pthread.h>
#include <stdio.h>

#include "base/money.h"
#include "ledger/record.h"
#include "sim/provider.h"
#include "sim/replay.h"

#define DEMO_PROVIDERS 3u
#define DEMO_KEYS 3u
#define DEMO_VICTIM 0u          /* the provider that is killed */

struct demo_provider {
    const char *name, *dialect, *model, *path, *seller;
    const char *input, *output; /* USD per 1M tokens */
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
    money charged;            /* what the buyer owes */
};

struct demo_books {
    pthread_mutex_t lock;
    struct demo_account provider[DEMO_PROVIDERS], key[DEMO_KEYS], all;
    uint64_t unknown;           /* records that cannot say what was used */
    uint64_t retried;           /* records with more than one attempt */
};

void demo_books_init(struct demo_books *b);
void demo_books_on_record(void *books, const struct usage_record *r); /* any thread */
struct demo_books demo_books_read(struct demo_books *b);              /* a copy */

/* What the ledger says when all is over. */
struct demo_money {
    bool read;
    char why[512];                       /* it could not be read */
    money payable[DEMO_PROVIDERS];       /* owed to whoever stands behind each */
    money receivable[DEMO_KEYS];         /* owed by each department */
    money expense, income;
    struct demo_account entries;         /* of all usage entries */
    uint64_t log_entries;
    unsigned faults;                     /* that verify found */
    char fault[200];                     /* the first */
    double verify_s;
};
void demo_write_prices(FILE *f);                             /* the price books, YAML */
void demo_money_read(const char *data_dir, struct demo_money *ret);
money demo_price(const struct demo_provider *p, uint64_t input, uint64_t output);

/* What is compared. */
struct demo_outcome {
    struct demo_books books;
    struct sim_count counts[DEMO_PROVIDERS];
    const struct replay *replay;
    struct demo_money money;
    const char *trace_name;
    double seconds;
};

struct demo_verdict {
    unsigned differences;
    char first[400];                /* the first difference, in words */
};

struct demo_verdict demo_judge(const struct demo_outcome *o);
void demo_tell(const struct demo_outcome *o, const struct demo_verdict *v);
void demo_tell_json(const struct demo_outcome *o, const struct demo_verdict *v);
void demo_compare(struct demo_verdict *v, const char *where, const char *what, uint64_t books, uint64_t other);
void demo_compare_money(const struct demo_outcome *o, struct demo_verdict *v);
void demo_tell_money(const struct demo_outcome *o);
void demo_put_money(const struct demo_outcome *o); /* JSON: ,"money":{…} */

static inline double demo_first_ms(const struct replay *r, double quantile) { return (double)replay_first_token_ns(r, quantile) / 1e6; }

#endif
