/* SPDX-License-Identifier: Apache-2.0
 *
 * What entente-verify says of a proof that holds: names and amounts for those it was made for, and no belief in a log whose keeper plays tricks.
 */
#include "unit.h"

#include "ledger/entry.h"
#include "verify/show.h"

#define ENTRIES_MAX 16u
#define PRICE_TEXT \
    "book=b\tseller=azure\tbuyer=self\tcurrency=USD\tsource=invoice\tfrom=0\tknown=0\tmodel=gpt\tprovider=*\tinput=2500000000\toutput=10000000000"

struct log {
    struct arena arena;
    struct span bodies[ENTRIES_MAX];
    struct hash leaves[ENTRIES_MAX];
    unsigned n;
};

static unsigned append_body(struct log *l, struct span body)
{
    l->bodies[l->n] = arena_dup(&l->arena, body);
    merkle_leaf(body, &l->leaves[l->n]);
    return l->n++;
}

static unsigned append(struct log *l, const struct entry *e)
{
    struct buf body;
    buf_init(&body, ENTRY_BODY_BYTES_MAX);
    EXPECT_EQ(entry_encode(e, &body), ERR_OK);
    unsigned at = append_body(l, buf_span(&body));
    buf_fini(&body);
    return at;
}

static unsigned append_text(struct log *l, enum entry_kind kind, uint32_t number, const char *text)
{
    return append(l, &(struct entry){.kind = kind, .number = number, .text = span_str(text)});
}

static bool subtree(void *owner, unsigned level, uint64_t index, struct hash *ret)
{
    struct log *l = owner;
    struct merkle m = {.size = 0};
    for (unsigned i = 0; i < 1u << level; i++)
        merkle_append(&m, &l->leaves[(index << level) + i]);
    merkle_root(&m, ret);
    return true;
}

/* The last entry with all others beside it, in the log's order but for it. */
static void write_proof(struct log *l, const struct signer *signer, struct buf *file)
{
    static struct hash paths[ENTRIES_MAX][MERKLE_PROOF_MAX];
    struct proof_leaf leaves[ENTRIES_MAX];
    struct merkle m = {.size = 0};
    struct checkpoint c = {.origin = span_str(signer->name), .size = l->n};
    struct buf text, note;
    for (unsigned i = 0; i < l->n; i++) {
        unsigned at = i ? i - 1 : l->n - 1;
        merkle_append(&m, &l->leaves[i]);
        leaves[i] = (struct proof_leaf){.index = at, .bytes = l->bodies[at], .path = paths[i]};
        EXPECT(merkle_prove_inclusion(at, l->n, subtree, l, paths[i], &leaves[i].path_n));
    }
    merkle_root(&m, &c.root);
    buf_init(&text, 4096);
    buf_init(&note, 4096);
    EXPECT_EQ(checkpoint_write(&c, &text), ERR_OK);
    EXPECT_EQ(note_sign(buf_span(&text), signer, &note), ERR_OK);
    EXPECT_EQ(proof_write_inclusion(leaves, l->n, buf_span(&note), file), ERR_OK);
    buf_fini(&text);
    buf_fini(&note);
}

static struct arena kept;

/* What is said of a proof of the log's last entry, with a NUL at the end; it stays until the next. */
static enum err show(struct log *l, const char **ret_text, char why[PROOF_WHY_BYTES])
{
    struct signer signer;
    struct verifier verifier;
    struct proof proof;
    struct buf file, out;
    arena_fini(&kept);
    buf_init(&file, PROOF_FILE_BYTES_MAX);
    buf_init(&out, SHOW_BYTES_MAX);
    EXPECT_EQ(signer_new(SPAN("acme.example/ledger"), &signer), ERR_OK);
    signer_verifier(&signer, &verifier);
    write_proof(l, &signer, &file);
    enum err e = proof_open(buf_span(&file), &verifier, &kept, &proof, why);
    e = e ? e : show_proof(&proof, &out, why);
    *ret_text = arena_strdup(&kept, buf_span(&out));
    buf_fini(&file);
    buf_fini(&out);
    return e;
}

static struct entry usage_entry(void)
{
    struct entry e = {.kind = ENTRY_USAGE};
    struct entry_usage *u = &e.usage;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        u->usage.count[c] = USAGE_UNKNOWN;
    *u = (struct entry_usage){.issuer = 1, .counter = 2, .booked_us = 1795414500000000, .wall_us = 1795414499000000, .status = 200, .key = 1, .provider = 2,
                              .model = 3, .usage = u->usage, .provider_cost_nano = -1};
    u->usage.count[USAGE_INPUT] = 9;
    u->usage.count[USAGE_OUTPUT] = 3;
    u->usage.source = USAGE_SOURCE_REPORTED;
    u->buy = u->sell = (struct entry_charge){.price = 1, .amount = MONEY_ONE / 1000000000 * 52500};
    return e;
}

static void log_init(struct log *l)
{
    *l = (struct log){.n = 0};
    arena_init(&l->arena, 4096);
    append_text(l, ENTRY_NAME, 1, "legal-app");
    append_text(l, ENTRY_NAME, 2, "azure-eu");
    append_text(l, ENTRY_PRICE, 1, PRICE_TEXT);
}

static void log_fini(struct log *l) { arena_fini(&l->arena); }

#define EXPECT_HAS(text, part) (strstr((text), (part)) ? true : (UNIT_FAIL("\"%s\" is not in:\n%s", part, text), false))

TEST(a_request_is_shown_with_its_names_and_the_sum_that_its_amount_comes_from)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry usage = usage_entry();
    log_init(&l);
    append(&l, &usage);
    EXPECT_EQ(show(&l, &text, why), ERR_OK);
    EXPECT_STR(why, "");
    EXPECT_HAS(text, "  request id     req_000000000100000002\n");
    EXPECT_HAS(text, "  key            legal-app\n");
    EXPECT_HAS(text, "  provider       azure-eu\n");
    EXPECT_HAS(text, "  model          name 3, which the proof does not show\n");
    EXPECT_HAS(text, "  bought for     0.0000525 USD\n                 = 9 x 2.5 + 3 x 10 per million\n                 by price book b, from azure to self, source: invoice\n");
    log_fini(&l);
}

TEST(an_amount_that_is_not_quantities_times_price_is_told)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry usage = usage_entry();
    usage.usage.sell.amount++;
    log_init(&l);
    append(&l, &usage);
    EXPECT_EQ(show(&l, &text, why), ERR_FORBIDDEN);
    EXPECT_HAS(why, "(sold for)");
    log_fini(&l);
}

TEST(an_amount_without_its_price_line_is_shown_as_such)
{
    struct log l = {.n = 0};
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry usage = usage_entry();
    arena_init(&l.arena, 4096);
    append(&l, &usage);
    EXPECT_EQ(show(&l, &text, why), ERR_OK);
    EXPECT_HAS(text, "(price line 1, which the proof does not show)");
    log_fini(&l);
}

TEST(a_number_with_two_texts_proves_nothing)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry usage = usage_entry();
    log_init(&l);
    append_text(&l, ENTRY_NAME, 1, "somebody-else");
    append(&l, &usage);
    EXPECT_EQ(show(&l, &text, why), ERR_FORBIDDEN);
    EXPECT_HAS(why, "two texts for one number");
    log_fini(&l);
}

TEST(what_stands_beside_an_entry_is_a_name_or_a_price_line)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry usage = usage_entry();
    log_init(&l);
    append(&l, &usage);
    append(&l, &usage);
    EXPECT_EQ(show(&l, &text, why), ERR_FORBIDDEN);
    EXPECT_HAS(why, "is no name or price line");
    log_fini(&l);
}

TEST(bytes_that_are_no_entry_are_in_the_log_and_say_nothing)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    log_init(&l);
    append_body(&l, SPAN("what is this"));
    EXPECT_EQ(show(&l, &text, why), ERR_FORBIDDEN);
    EXPECT_HAS(why, "newer entente-verify");
    log_fini(&l);
}

TEST(no_name_commands_the_readers_terminal)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry usage = usage_entry();
    log_init(&l);
    append_text(&l, ENTRY_NAME, 3, "a\x1b[31mb\nc\x7f\xc2\x9b" "d\xff" "e\xc3\xa9");
    append(&l, &usage);
    EXPECT_EQ(show(&l, &text, why), ERR_OK);
    EXPECT_HAS(text, "  model          a\\x1b[31mb\\x0ac\\x7f\\xc2\\x9bd\\xffe\xc3\xa9\n");
    log_fini(&l);
}

TEST(a_posting_is_shown_with_its_transfers)
{
    struct log l;
    const char *text;
    char why[PROOF_WHY_BYTES] = "";
    struct entry e = {.kind = ENTRY_POSTING};
    log_init(&l);
    append_text(&l, ENTRY_NAME, 3, "USD");
    e.posting = (struct entry_posting){.booked_us = 1795414500000000, .cause = POSTING_CORRECTION, .key = SPAN("fix:1"), .memo = SPAN("known later"), .refers_to = 3,
                                       .transfers_n = 1, .transfers = {{.debit = 1, .credit = 2, .currency = 3, .amount = 5 * MONEY_ONE / 4}}};
    append(&l, &e);
    EXPECT_EQ(show(&l, &text, why), ERR_OK);
    EXPECT_HAS(text, "  kind           posting, correction\n");
    EXPECT_HAS(text, "  corrects       entry 2\n");
    EXPECT_HAS(text, "  transfer       1.25 USD from azure-eu to legal-app\n");
    log_fini(&l);
    arena_fini(&kept);
}

UNIT_MAIN
