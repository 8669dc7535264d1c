/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, signed notes and checkpoints, as text. Readers accept the one text that a writer makes: no zeros before a number, no other base64. A note
 * is cut at its last empty line, so that its text may have empty lines, too.
 */
#include "proof/note.h"

#include "base/arena.h"
#include "base/json_scan.h"

#define ED25519 1 /* the signature type in keys and key hashes */
#define DASH "\xe2\x80\x94 "

static const struct span secret_head = {"PRIVATE+KEY+", 12};

/* ---- text ---- */

/* UTF-8 without control characters but LF. */
static bool is_note_text(struct span text)
{
    const char *end = text.n ? text.p + text.n : text.p;
    unsigned n;
    for (const char *p = text.p; p < end; p += n) {
        n = json_utf8_bytes(p, end);
        if (n == 0 || ((unsigned char)*p < 0x20 && *p != '\n'))
            return false;
    }
    return true;
}

static bool has_unicode_space(struct span s)
{
    static const char *const spaces[] = {"\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    for (unsigned i = 0; i < COUNT_OF(spaces); i++)
        if (span_find_span(s, span_str(spaces[i])) >= 0)
            return true;
    for (size_t i = 0; i + 3 <= s.n; i++) /* U+2000 to U+200A */
        if (memcmp(s.p + i, "\xe2\x80", 2) == 0 && (uint8_t)s.p[i + 2] >= 0x80 && (uint8_t)s.p[i + 2] <= 0x8a)
            return true;
    return false;
}

static bool is_key_name(struct span name)
{
    if (name.n == 0 || !is_note_text(name) || has_unicode_space(name))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == ' ' || name.p[i] == '+' || name.p[i] == '\n' || name.p[i] == 0x7f)
            return false;
    return true;
}

bool note_name_is_valid(struct span name) { return name.n < NOTE_NAME_BYTES && is_key_name(name); }

static struct span without_lf(struct span s) { return span_ends(s, SPAN("\n")) ? span_to(s, s.n - 1) : s; }

/* The copies in between are wiped: they may be of a secret. */
static void forget(struct arena *arena, struct span copy)
{
    digest_wipe((void *)(uintptr_t)copy.p, copy.n);
    arena_fini(arena);
}

/* base64 that decodes to exactly n bytes. */
static bool read_base64(struct span text, void *out, size_t n)
{
    struct arena arena;
    struct span bytes = SPAN_NONE;
    arena_init(&arena, 256);
    bool good = text.n == (n + 2) / 3 * 4 && digest_from_base64(&arena, text, &bytes) && bytes.n == n;
    if (good)
        memcpy(out, bytes.p, n);
    forget(&arena, bytes);
    return good;
}

static enum err append_base64(struct buf *out, const void *bytes, size_t n)
{
    struct arena arena;
    arena_init(&arena, 256);
    struct span text = digest_base64(&arena, span_of(bytes, n));
    enum err e = buf_append(out, text);
    forget(&arena, text);
    return e;
}

/* ---- keys ---- */

static uint32_t big_endian(const uint8_t b[4]) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

static uint32_t key_id(const char *name, const uint8_t public_key[ED25519_KEY_BYTES])
{
    char text[NOTE_NAME_BYTES + 2 + ED25519_KEY_BYTES];
    size_t n = strlen(name);
    uint8_t hash[SHA256_BYTES];
    memcpy(text, name, n);
    text[n++] = '\n';
    text[n++] = ED25519;
    memcpy(text + n, public_key, ED25519_KEY_BYTES);
    digest_sha256(span_of(text, n + ED25519_KEY_BYTES), hash);
    return big_endian(hash);
}

static bool parse_key(struct span text, char name[NOTE_NAME_BYTES], uint32_t *ret_id, uint8_t key[ED25519_KEY_BYTES])
{
    uint8_t id[4], typed[1 + ED25519_KEY_BYTES];
    struct span key_name = span_cut(&text, '+'), hash = span_cut(&text, '+');
    if (!note_name_is_valid(key_name) || !digest_from_hex(hash, id, sizeof id) || !read_base64(text, typed, sizeof typed) || typed[0] != ED25519)
        return false;
    memcpy(name, key_name.p, key_name.n);
    name[key_name.n] = '\0';
    memcpy(key, typed + 1, ED25519_KEY_BYTES);
    *ret_id = big_endian(id);
    digest_wipe(typed, sizeof typed);
    return true;
}

static enum err write_key(const char *name, uint32_t id, const uint8_t key[ED25519_KEY_BYTES], struct buf *out)
{
    uint8_t typed[1 + ED25519_KEY_BYTES] = {ED25519};
    memcpy(typed + 1, key, ED25519_KEY_BYTES);
    enum err e = buf_printf(out, "%s+%08x+", name, id);
    e = e ? e : append_base64(out, typed, sizeof typed);
    digest_wipe(typed, sizeof typed);
    return e;
}

static void signer_complete(struct signer *s)
{
    digest_ed25519_public(s->seed, s->public_key);
    s->id = key_id(s->name, s->public_key);
}

enum err signer_new(struct span name, struct signer *ret)
{
    if (!note_name_is_valid(name))
        return ERR_SYNTAX;
    *ret = (struct signer){.id = 0};
    memcpy(ret->name, name.p, name.n);
    digest_random(ret->seed, sizeof ret->seed);
    signer_complete(ret);
    return ERR_OK;
}

enum err signer_parse(struct span text, struct signer *ret)
{
    struct signer s = {.id = 0};
    uint32_t id = 0;
    text = without_lf(text);
    bool good = span_starts(text, secret_head) && parse_key(span_from(text, secret_head.n), s.name, &id, s.seed);
    if (good)
        signer_complete(&s);
    good = good && s.id == id;
    if (good)
        *ret = s;
    signer_wipe(&s);
    return good ? ERR_OK : ERR_SYNTAX;
}

enum err signer_write(const struct signer *s, struct buf *out)
{
    enum err e = buf_append(out, secret_head);
    e = e ? e : write_key(s->name, s->id, s->seed, out);
    return e ? e : buf_append(out, SPAN("\n"));
}

void signer_wipe(struct signer *s) { digest_wipe(s, sizeof *s); }

void signer_verifier(const struct signer *s, struct verifier *ret)
{
    memcpy(ret->name, s->name, sizeof ret->name);
    memcpy(ret->public_key, s->public_key, sizeof ret->public_key);
    ret->id = s->id;
}

enum err verifier_parse(struct span text, struct verifier *ret)
{
    struct verifier v = {.id = 0};
    if (!parse_key(without_lf(text), v.name, &v.id, v.public_key) || key_id(v.name, v.public_key) != v.id)
        return ERR_SYNTAX;
    *ret = v;
    return ERR_OK;
}

enum err verifier_write(const struct verifier *v, struct buf *out) { return write_key(v->name, v->id, v->public_key, out); }

/* ---- notes ---- */

enum err note_sign(struct span text, const struct signer *s, struct buf *out)
{
    if (!span_ends(text, SPAN("\n")) || !is_note_text(text))
        return ERR_SYNTAX;
    uint8_t made[4 + ED25519_SIGNATURE_BYTES] = {(uint8_t)(s->id >> 24), (uint8_t)(s->id >> 16), (uint8_t)(s->id >> 8), (uint8_t)s->id};
    digest_ed25519_sign(s->seed, text, made + 4);
    enum err e = buf_append(out, text);
    e = e ? e : buf_printf(out, "\n" DASH "%s ", s->name);
    e = e ? e : append_base64(out, made, sizeof made);
    return e ? e : buf_append(out, SPAN("\n"));
}

/* given: id and signature of the key of this name. */
static enum err judge_signature(struct span name, struct span given, struct span text, const struct verifier *v)
{
    const uint8_t *bytes = (const uint8_t *)given.p;
    if (!span_eq(name, span_str(v->name)) || big_endian(bytes) != v->id)
        return ERR_AGAIN;
    bool right = given.n == 4 + ED25519_SIGNATURE_BYTES && digest_ed25519_verify(v->public_key, text, bytes + 4);
    return right ? ERR_OK : ERR_FORBIDDEN;
}

/* One signature line without its LF. ERR_OK: right; ERR_FORBIDDEN: wrong; ERR_AGAIN: of another key. */
static enum err check_signature(struct span line, struct span text, const struct verifier *v)
{
    struct arena arena;
    struct span given;
    if (!span_starts(line, SPAN(DASH)))
        return ERR_SYNTAX;
    line = span_from(line, strlen(DASH));
    struct span name = span_cut(&line, ' ');
    arena_init(&arena, 256);
    bool good = is_key_name(name) && line.n > 0 && digest_from_base64(&arena, line, &given) && given.n > 4;
    enum err e = good ? judge_signature(name, given, text, v) : ERR_SYNTAX;
    arena_fini(&arena);
    return e;
}

/* Where the last empty line begins, or -1. */
static ptrdiff_t last_empty_line(struct span note)
{
    for (size_t i = note.n; i >= 2; i--)
        if (note.p[i - 1] == '\n' && note.p[i - 2] == '\n')
            return (ptrdiff_t)i - 1;
    return -1;
}

static enum err check_signatures(struct span lines, struct span text, const struct verifier *v)
{
    enum err verdict = ERR_FORBIDDEN;
    bool wrong = false;
    for (unsigned n = 0; lines.n > 0; n++) {
        enum err e = n < NOTE_SIGNATURES_MAX ? check_signature(span_cut(&lines, '\n'), text, v) : ERR_SYNTAX;
        if (e == ERR_SYNTAX)
            return e;
        wrong |= e == ERR_FORBIDDEN;
        verdict = e == ERR_OK ? ERR_OK : verdict;
    }
    return wrong ? ERR_FORBIDDEN : verdict;
}

enum err note_open(struct span note, const struct verifier *v, struct span *ret_text)
{
    ptrdiff_t at = note.n <= NOTE_BYTES_MAX && span_ends(note, SPAN("\n")) && is_note_text(note) ? last_empty_line(note) : -1;
    if (at <= 0 || (size_t)at + 1 == note.n)
        return ERR_SYNTAX;
    struct span text = span_to(note, (size_t)at);
    enum err e = check_signatures(span_from(note, (size_t)at + 1), text, v);
    if (e == ERR_OK)
        *ret_text = text;
    return e;
}

/* ---- checkpoints ---- */

static bool lines_are_not_empty(struct span lines)
{
    return lines.n == 0 || (lines.p[0] != '\n' && span_ends(lines, SPAN("\n")) && span_find_span(lines, SPAN("\n\n")) < 0);
}

enum err checkpoint_write(const struct checkpoint *c, struct buf *out)
{
    if (c->origin.n == 0 || !is_note_text(c->origin) || span_find(c->origin, '\n') >= 0 || !is_note_text(c->extra) || !lines_are_not_empty(c->extra))
        return ERR_SYNTAX;
    enum err e = buf_append(out, c->origin);
    e = e ? e : buf_printf(out, "\n%llu\n", (unsigned long long)c->size);
    e = e ? e : append_base64(out, c->root.bytes, sizeof c->root.bytes);
    e = e ? e : buf_append(out, SPAN("\n"));
    return e ? e : buf_append(out, c->extra);
}

static bool parse_number(struct span digits, uint64_t *ret)
{
    bool zeros_first = digits.n > 1 && digits.p[0] == '0';
    return !zeros_first && span_to_u64(digits, ret);
}

enum err checkpoint_parse(struct span text, struct checkpoint *ret)
{
    struct checkpoint c;
    if (!span_ends(text, SPAN("\n")) || !is_note_text(text) || !lines_are_not_empty(text))
        return ERR_SYNTAX;
    c.origin = span_cut(&text, '\n');
    struct span size = span_cut(&text, '\n'), root = span_cut(&text, '\n');
    if (!parse_number(size, &c.size) || !read_base64(root, c.root.bytes, sizeof c.root.bytes))
        return ERR_SYNTAX;
    c.extra = text;
    *ret = c;
    return ERR_OK;
}
