/* SPDX-License-Identifier: Apache-2.0
 *
 * The log's key and its signed checkpoints: at the end of each day (UTC, by booked time), every so many entries, at close, and when asked. A
 * checkpoint goes into the transaction of the entries it speaks of.
 *
 * The key is a file beside the store, made at the first start. A store that was signed and has lost its key is not signed with another one in
 * silence: that would look like a forgery to whoever has the old public key.
 */
#include "ledger/ledger_private.h"

#include <stdio.h>

#define DAY_US ((int64_t)86400 * 1000000)
#define DEFAULT_ORIGIN "entente.local/ledger"
#define KEY_BYTES_MAX (4u * KIB)

/* ---- the key ---- */

/* ERR_NOT_FOUND: there is no file, or an empty one, which is what a crash while it is made can leave. */
static enum err read_key(struct ledger *l, struct buf *text)
{
    void *file;
    uint64_t size = 0;
    enum err e = l->disk->open(l->disk->owner, l->key_path, false, &file);
    if (e)
        return e;
    e = l->disk->size(file, &size);
    e = e ? e : size == 0 ? ERR_NOT_FOUND : size > KEY_BYTES_MAX ? ERR_SYNTAX : buf_reserve(text, (size_t)size);
    e = e ? e : l->disk->read(file, 0, buf_tail(text), (size_t)size);
    l->disk->close(file);
    if (!e)
        buf_extend(text, (size_t)size);
    return e;
}

static enum err write_key(struct ledger *l, struct buf *text)
{
    void *file;
    enum err e = l->disk->open(l->disk->owner, l->key_path, true, &file);
    if (e)
        return e;
    e = l->disk->reserve(file, buf_bytes(text));
    e = e ? e : l->disk->write(file, 0, buf_span(text));
    e = e ? e : l->disk->sync(file);
    l->disk->close(file);
    return e;
}

static enum err make_key(struct ledger *l, struct span origin, struct buf *text)
{
    enum err e = signer_new(origin, &l->signer);
    buf_clear(text);
    e = e ? e : signer_write(&l->signer, text);
    return e ? e : write_key(l, text);
}

static enum err complain(const struct ledger *l, enum err e, const char *sentence, char why[512])
{
    snprintf(why, 512, "%s: %s", l->key_path, sentence);
    return e;
}

/* What the store knows of its key: nothing at all before the first start is over. */
struct identity {
    struct buf origin, public_key;
};

static enum err read_meta(struct ledger *l, const char *key, struct buf *ret)
{
    enum err e = store_meta(l->store, key, ret);
    return e == ERR_NOT_FOUND ? ERR_OK : ledger_of_store(l, e);
}

static enum err read_identity(struct ledger *l, void *identity)
{
    struct identity *id = identity;
    enum err e = read_meta(l, META_ORIGIN, &id->origin);
    return e ? e : read_meta(l, META_PUBLIC_KEY, &id->public_key);
}

static enum err write_identity(struct ledger *l, void *identity)
{
    struct identity *id = identity;
    enum err e = store_put_meta(l->store, META_ORIGIN, buf_span(&id->origin));
    return ledger_of_store(l, e ? e : store_put_meta(l->store, META_PUBLIC_KEY, buf_span(&id->public_key)));
}

static enum err adopt_key(struct ledger *l, struct identity *id, char why[512])
{
    struct verifier v;
    struct buf now;
    buf_init(&now, KEY_BYTES_MAX);
    signer_verifier(&l->signer, &v);
    enum err e = verifier_write(&v, &now);
    if (!e && buf_bytes(&id->public_key) && !span_eq(buf_span(&now), buf_span(&id->public_key)))
        e = complain(l, ERR_SYNTAX, "this is not the key that the ledger beside it is signed with: put the right one there", why);
    if (!e && !buf_bytes(&id->public_key)) {
        buf_clear(&id->origin);
        e = buf_append(&id->origin, span_str(l->signer.name));
        e = e ? e : buf_append(&id->public_key, buf_span(&now));
        e = e ? e : ledger_transact(l, write_identity, id);
        if (e)
            snprintf(why, 512, "%s", l->status.why);
    }
    buf_fini(&now);
    l->signs = e == ERR_OK;
    return e;
}

/* What a crash can leave of a file that was being made: its beginning, and zeros. Only of interest before the store knows a key. */
static bool is_torn(struct span text)
{
    struct span head = SPAN("PRIVATE+KEY+");
    size_t begun = strnlen(text.p, text.n);
    for (size_t i = begun; i < text.n; i++)
        if (text.p[i])
            return false;
    return span_eq(span_to(text, begun < head.n ? begun : head.n), span_to(head, begun));
}

static enum err find_key(struct ledger *l, struct identity *id, struct buf *text, char why[512])
{
    struct span origin = buf_bytes(&id->origin) ? buf_span(&id->origin) : span_str(l->options.origin ? l->options.origin : DEFAULT_ORIGIN);
    enum err e = read_key(l, text);
    if (e == ERR_NOT_FOUND && buf_bytes(&id->public_key))
        return complain(l, e, "the ledger's key is not there: put it back from where it is kept safe; without it nothing can be signed as before", why);
    if (e == ERR_NOT_FOUND && !note_name_is_valid(origin)) {
        snprintf(why, 512, "ledger.origin: %.*s is no name for a log: like a host and a path, without spaces and plus signs", SPAN_ARG(origin));
        return ERR_SYNTAX;
    }
    bool parses = !e && signer_parse(buf_span(text), &l->signer) == ERR_OK;
    if (e == ERR_NOT_FOUND || (!e && !parses && !buf_bytes(&id->public_key) && is_torn(buf_span(text))))
        e = make_key(l, origin, text);
    else if (!e && !parses)
        return complain(l, ERR_SYNTAX, "this is no key of a ledger: put the right file there", why);
    return e ? complain(l, e, "the key cannot be read or written: look at the rights of the file and of its directory", why) : ERR_OK;
}

enum err ledger_open_key(struct ledger *l, char why[512])
{
    struct identity id;
    struct buf text;
    buf_init(&id.origin, KEY_BYTES_MAX);
    buf_init(&id.public_key, KEY_BYTES_MAX);
    buf_init(&text, KEY_BYTES_MAX);
    enum err e = ledger_transact(l, read_identity, &id);
    if (e)
        snprintf(why, 512, "%s", l->status.why);
    e = e ? e : find_key(l, &id, &text, why);
    e = e ? e : adopt_key(l, &id, why);
    if (text.p)
        digest_wipe(text.p, text.capacity);
    buf_fini(&text);
    buf_fini(&id.public_key);
    buf_fini(&id.origin);
    return e;
}

/* ---- checkpoints ---- */

static enum err write_note(struct ledger *l, struct buf *text, struct buf *note)
{
    struct merkle frontier;
    struct checkpoint c = {.origin = span_str(l->signer.name)};
    projection_frontier(&l->projection, &frontier);
    c.size = frontier.size;
    merkle_root(&frontier, &c.root);
    enum err e = checkpoint_write(&c, text);
    return e ? e : note_sign(buf_span(text), &l->signer, note);
}

enum err ledger_sign_now(struct ledger *l, void *unused)
{
    struct buf text, note;
    uint64_t size = projection_size(&l->projection);
    if (!l->signs || size == 0 || size == l->checkpoint_size)
        return ERR_OK;
    buf_init(&text, NOTE_BYTES_MAX);
    buf_init(&note, NOTE_BYTES_MAX);
    enum err e = write_note(l, &text, &note);
    e = e ? e : ledger_of_store(l, store_put_checkpoint(l->store, size, l->projection.booked_us, buf_span(&note)));
    if (!e)
        l->checkpoint_size = size;
    buf_fini(&note);
    buf_fini(&text);
    return e;
}

enum err ledger_sign_day(struct ledger *l)
{
    int64_t last_us = l->projection.booked_us;
    return last_us && l->now_us / DAY_US > last_us / DAY_US ? ledger_sign_now(l, NULL) : ERR_OK;
}

enum err ledger_sign_every(struct ledger *l)
{
    uint64_t every = l->options.checkpoint_every;
    return every && projection_size(&l->projection) - l->checkpoint_size >= every ? ledger_sign_now(l, NULL) : ERR_OK;
}
