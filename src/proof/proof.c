/* SPDX-License-Identifier: Apache-2.0
 *
 * The two kinds of proof files: written, and opened with everything in them checked. The extra bytes of an inclusion proof:
 *
 *   form     1 byte, 1
 *   entry    number of bytes, bytes
 *   further entries until the end, each: index, number of bytes, bytes, number of hashes, hashes of 32 bytes
 *
 * where numbers are LEB128 varints. Nobody vouches for them as such: an entry counts because its hash leads to the signed root.
 */
#include "proof/proof.h"

#include <stdio.h>

#define EXTRA_FORM 1u
#define VARINT_BYTES 10u

static const struct span inclusion_head = {"c2sp.org/tlog-proof@v1\n", 23}, consistency_head = {"entente-consistency@v1\n", 23};

/* ---- writing ---- */

static enum err put_number(struct buf *out, uint64_t value)
{
    char bytes[VARINT_BYTES];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (char)(value | 0x80);
    bytes[n++] = (char)value;
    return buf_append(out, span_of(bytes, n));
}

static enum err put_bytes(struct buf *out, struct span bytes)
{
    enum err e = put_number(out, bytes.n);
    return e ? e : buf_append(out, bytes);
}

static enum err put_reference(struct buf *out, const struct proof_leaf *l)
{
    enum err e = put_number(out, l->index);
    e = e ? e : put_bytes(out, l->bytes);
    e = e ? e : put_number(out, l->path_n);
    return e ? e : buf_append(out, span_of(l->path, l->path_n * sizeof *l->path));
}

static enum err put_extra(struct buf *out, const struct proof_leaf *leaves, unsigned n)
{
    enum err e = put_number(out, EXTRA_FORM);
    e = e ? e : put_bytes(out, leaves[0].bytes);
    for (unsigned i = 1; !e && i < n; i++)
        e = put_reference(out, &leaves[i]);
    return e;
}

static enum err put_base64_line(struct buf *out, struct span bytes)
{
    struct arena arena;
    arena_init(&arena, 256);
    enum err e = buf_append(out, digest_base64(&arena, bytes));
    arena_fini(&arena);
    return e ? e : buf_append(out, SPAN("\n"));
}

static enum err put_path(struct buf *out, const struct hash *path, unsigned n)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && i < n; i++)
        e = put_base64_line(out, span_of(path[i].bytes, sizeof path[i].bytes));
    return e ? e : buf_append(out, SPAN("\n"));
}

static bool fits(const struct proof_leaf *leaves, unsigned n)
{
    bool good = n > 0 && n <= PROOF_LEAVES_MAX;
    for (unsigned i = 0; good && i < n; i++)
        good = leaves[i].bytes.n <= PROOF_LEAF_BYTES_MAX && leaves[i].path_n <= PROOF_PATH_MAX;
    return good;
}

enum err proof_write_inclusion(const struct proof_leaf *leaves, unsigned n, struct span checkpoint_note, struct buf *out)
{
    struct buf extra;
    if (!fits(leaves, n))
        return ERR_RANGE;
    buf_init(&extra, PROOF_FILE_BYTES_MAX);
    enum err e = put_extra(&extra, leaves, n);
    e = e ? e : buf_append(out, inclusion_head);
    e = e ? e : buf_append(out, SPAN("extra "));
    e = e ? e : put_base64_line(out, buf_span(&extra));
    e = e ? e : buf_printf(out, "index %llu\n", (unsigned long long)leaves[0].index);
    e = e ? e : put_path(out, leaves[0].path, leaves[0].path_n);
    buf_fini(&extra);
    return e ? e : buf_append(out, checkpoint_note);
}

enum err proof_write_consistency(struct span old_note, struct span new_note, const struct hash *path, unsigned n, struct buf *out)
{
    enum err e = n <= MERKLE_PROOF_MAX ? buf_append(out, consistency_head) : ERR_RANGE;
    e = e ? e : put_path(out, path, n);
    e = e ? e : buf_append(out, old_note);
    e = e ? e : buf_append(out, SPAN("\n"));
    return e ? e : buf_append(out, new_note);
}

/* ---- opening: text ---- */

struct opener {
    const struct verifier *verifier;
    struct arena *arena;
    char *why;
};

__attribute__((format(printf, 3, 4))) static enum err refuse(const struct opener *o, enum err e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(o->why, PROOF_WHY_BYTES, format, args);
    va_end(args);
    return e;
}

static enum err damaged(const struct opener *o, const char *where)
{
    return refuse(o, ERR_SYNTAX, "%s is not in the form of a proof: the file is damaged or cut short; ask for it again", where);
}

/* Cuts what stands before the next empty line off rest, with its last LF. */
static bool cut_block(struct span *rest, struct span *ret)
{
    ptrdiff_t at = span_find_span(*rest, SPAN("\n\n"));
    if (at < 0)
        return false;
    *ret = span_to(*rest, (size_t)at + 1);
    *rest = span_from(*rest, (size_t)at + 2);
    return true;
}

/* All lines of `lines`: base64 of one hash each. */
static bool read_path(const struct opener *o, struct span lines, unsigned max, const struct hash **ret, unsigned *ret_n)
{
    struct hash *path = arena_alloc(o->arena, max * sizeof *path);
    unsigned n = 0;
    while (lines.n > 0) {
        struct span line = span_cut(&lines, '\n'), bytes;
        if (n == max || line.n != 44 || !digest_from_base64(o->arena, line, &bytes) || bytes.n != sizeof path[n].bytes)
            return false;
        memcpy(path[n++].bytes, bytes.p, sizeof path->bytes);
    }
    *ret = path;
    *ret_n = n;
    return true;
}

static enum err open_checkpoint(const struct opener *o, struct span note, struct checkpoint *ret)
{
    struct span text;
    enum err e = note_open(note, o->verifier, &text);
    if (e == ERR_FORBIDDEN)
        return refuse(o, e, "the checkpoint is not signed by %.100s+%08x: it was changed, or another ledger made it", o->verifier->name, o->verifier->id);
    if (e || checkpoint_parse(text, ret) != ERR_OK)
        return damaged(o, "the checkpoint");
    if (!span_eq(ret->origin, span_str(o->verifier->name)))
        return refuse(o, ERR_FORBIDDEN, "the checkpoint is of a log that is not named as the key, %.100s", o->verifier->name);
    return ERR_OK;
}

/* ---- opening: an entry's proof ---- */

static bool get_number(struct span *rest, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned at = 0; at < rest->n && at < VARINT_BYTES; at++) {
        uint64_t byte = (uint8_t)rest->p[at], low = byte & 0x7f;
        bool overflows = at == VARINT_BYTES - 1 && low > 1, overlong = at > 0 && byte == 0;
        if (overflows || overlong)
            return false;
        value |= low << (7 * at);
        if (byte < 0x80) {
            *rest = span_from(*rest, at + 1);
            *ret = value;
            return value <= max;
        }
    }
    return false;
}

static bool get_bytes(struct span *rest, size_t n, struct span *ret)
{
    if (n > rest->n)
        return false;
    *ret = span_to(*rest, n);
    *rest = span_from(*rest, n);
    return true;
}

static bool get_text(struct span *rest, struct span *ret)
{
    uint64_t n;
    return get_number(rest, PROOF_LEAF_BYTES_MAX, &n) && get_bytes(rest, (size_t)n, ret);
}

static bool get_reference(struct span *rest, struct proof_leaf *ret)
{
    uint64_t n;
    struct span path;
    if (!get_number(rest, UINT64_MAX, &ret->index) || !get_text(rest, &ret->bytes))
        return false;
    if (!get_number(rest, PROOF_PATH_MAX, &n) || !get_bytes(rest, (size_t)n * sizeof *ret->path, &path))
        return false;
    ret->path = (const struct hash *)(const void *)path.p;
    ret->path_n = (unsigned)n;
    return true;
}

static bool get_extra(const struct opener *o, struct span line, struct proof_leaf *leaves, unsigned *ret_n)
{
    struct span rest;
    uint64_t form;
    unsigned n = 1;
    if (!span_starts(line, SPAN("extra ")) || !digest_from_base64(o->arena, span_from(line, 6), &rest))
        return false;
    if (!get_number(&rest, EXTRA_FORM, &form) || form != EXTRA_FORM || !get_text(&rest, &leaves[0].bytes))
        return false;
    while (rest.n > 0)
        if (n == PROOF_LEAVES_MAX || !get_reference(&rest, &leaves[n++]))
            return false;
    *ret_n = n;
    return true;
}

static bool get_index(struct span line, uint64_t *ret)
{
    struct span digits = span_from(line, 6);
    return span_starts(line, SPAN("index ")) && !(digits.n > 1 && digits.p[0] == '0') && span_to_u64(digits, ret);
}

static enum err check_leaves(const struct opener *o, const struct proof *p)
{
    for (unsigned i = 0; i < p->leaves_n; i++) {
        const struct proof_leaf *l = &p->leaves[i];
        struct hash hash;
        merkle_leaf(l->bytes, &hash);
        if (!merkle_check_inclusion(&hash, l->index, p->checkpoint.size, &p->checkpoint.root, l->path, l->path_n))
            return refuse(o, ERR_FORBIDDEN, "%s is not entry %llu of the log that the checkpoint signs: it was changed, or never was there",
                          i ? "a name or price line beside it" : "what the file shows", (unsigned long long)l->index);
    }
    return ERR_OK;
}

static enum err open_inclusion(const struct opener *o, struct span rest, struct proof *p)
{
    struct span lines;
    struct proof_leaf *leaves = ARENA_ARRAY(o->arena, struct proof_leaf, PROOF_LEAVES_MAX);
    p->leaves = leaves;
    if (!cut_block(&rest, &lines))
        return damaged(o, "the path");
    if (!span_starts(lines, SPAN("extra ")))
        return refuse(o, ERR_SYNTAX, "the proof carries no entry (no line \"extra\"): it was not made by `entente ledger prove`");
    if (!get_extra(o, span_cut(&lines, '\n'), leaves, &p->leaves_n))
        return damaged(o, "the line \"extra\"");
    if (!get_index(span_cut(&lines, '\n'), &leaves[0].index))
        return damaged(o, "the line \"index\"");
    if (!read_path(o, lines, PROOF_PATH_MAX, &leaves[0].path, &leaves[0].path_n))
        return damaged(o, "the path");
    enum err e = open_checkpoint(o, rest, &p->checkpoint);
    return e ? e : check_leaves(o, p);
}

/* ---- opening: a proof of growth ---- */

/* The first of two notes that stand one after the other, each with one empty line in it: text, signatures, text, signatures. */
static bool cut_note(struct span *rest, struct span *ret)
{
    struct span text, signatures, all = *rest;
    if (!cut_block(rest, &text) || !cut_block(rest, &signatures))
        return false;
    *ret = span_to(all, text.n + 1 + signatures.n);
    return true;
}

static enum err open_consistency(const struct opener *o, struct span rest, struct proof *p)
{
    struct span lines = SPAN_NONE, note;
    const struct hash *path;
    unsigned n;
    bool is_empty = span_starts(rest, SPAN("\n"));
    if (is_empty)
        rest = span_from(rest, 1);
    if ((!is_empty && !cut_block(&rest, &lines)) || !read_path(o, lines, MERKLE_PROOF_MAX, &path, &n))
        return damaged(o, "the path");
    if (!cut_note(&rest, &note))
        return damaged(o, "the earlier checkpoint");
    enum err e = open_checkpoint(o, note, &p->earlier);
    e = e ? e : open_checkpoint(o, rest, &p->checkpoint);
    if (!e && !merkle_check_consistency(p->earlier.size, &p->earlier.root, p->checkpoint.size, &p->checkpoint.root, path, n))
        return refuse(o, ERR_FORBIDDEN, "the log of %llu entries is not shown to be the beginning of the log of %llu entries: the proof was changed, or the log was",
                      (unsigned long long)p->earlier.size, (unsigned long long)p->checkpoint.size);
    return e;
}

enum err proof_open(struct span file, const struct verifier *v, struct arena *a, struct proof *ret, char why[PROOF_WHY_BYTES])
{
    const struct opener o = {v, a, why};
    struct proof p = {.kind = PROOF_INCLUSION};
    enum err e;
    if (file.n > PROOF_FILE_BYTES_MAX)
        return refuse(&o, ERR_SYNTAX, "the file is larger than a proof may be, %u bytes", PROOF_FILE_BYTES_MAX);
    if (span_starts(file, inclusion_head)) {
        e = open_inclusion(&o, span_from(file, inclusion_head.n), &p);
    } else if (span_starts(file, consistency_head)) {
        p.kind = PROOF_CONSISTENCY;
        e = open_consistency(&o, span_from(file, consistency_head.n), &p);
    } else {
        return refuse(&o, ERR_SYNTAX, "the file does not begin as a proof does, with \"c2sp.org/tlog-proof@v1\" or \"entente-consistency@v1\"");
    }
    if (!e)
        *ret = p;
    return e;
}
