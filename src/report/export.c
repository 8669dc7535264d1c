/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of an export: a file under a passing name, the steps of the books through the writer of the format, the mark, then the name that was
 * asked for. What was written is hashed on its way, because the mark says the hash.
 */
#include "report/export.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "report/walk.h"

#define SPILL_BYTES (64u * KIB)
#define ROW_BYTES_MAX (1024u * MIB) /* what one step may write: all groups of a day or hour, of which clients that name models make thousands */
#define MARK "entente-export-end "
#define MARK_BYTES_MAX 512

static const struct export_writer *const writers[EXPORT_FORMATS] = {
    [EXPORT_HLEDGER] = &journal_hledger, [EXPORT_LEDGER] = &journal_ledger, [EXPORT_BEANCOUNT] = &journal_beancount,
    [EXPORT_FOCUS] = &focus_writer, [EXPORT_CSV] = &table_csv, [EXPORT_JSON] = &table_json,
};

const char *export_format_name(enum export_format f) { return (unsigned)f < EXPORT_FORMATS ? writers[f]->name : NULL; }
bool export_can_group(enum export_format f, enum export_by by) { return by == EXPORT_BY_DEFAULT || writers[f]->groups[by]; }

/* ---- the file ---- */

struct file {
    int fd;
    char passing[PATH_MAX]; /* its name until it is whole; "" on standard output */
    struct digest_sum *sum;
    struct buf out;
};

static enum err fail(char why[512], const char *what, const char *path)
{
    snprintf(why, 512, "%s %s: %s", what, path ? path : "standard output", strerror(errno));
    return ERR_DISK;
}

static enum err open_passing(struct file *f, const char *path, char why[512])
{
    struct stat st;
    int n = snprintf(f->passing, sizeof f->passing, "%s.part-XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof f->passing) {
        f->passing[0] = '\0';
        errno = ENAMETOOLONG;
        return fail(why, "cannot write", path);
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        f->passing[0] = '\0';
        snprintf(why, 512, "%s is there and is no file: write to standard output, and redirect that", path);
        return ERR_DISK;
    }
    f->fd = mkstemp(f->passing);
    if (f->fd < 0)
        f->passing[0] = '\0';
    return f->fd < 0 ? fail(why, "cannot write", path) : ERR_OK;
}

static enum err file_open(struct file *f, const char *path, char why[512])
{
    *f = (struct file){.fd = STDOUT_FILENO};
    enum err e = path ? open_passing(f, path, why) : ERR_OK;
    buf_init(&f->out, ROW_BYTES_MAX + SPILL_BYTES);
    f->sum = digest_sum_new();
    return e;
}

static enum err spill(struct file *f, const char *path, char why[512])
{
    digest_sum_add(f->sum, buf_span(&f->out));
    for (struct span rest = buf_span(&f->out); rest.n;) {
        ssize_t n = write(f->fd, rest.p, rest.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(why, "cannot write", path);
        rest = span_from(rest, (size_t)n);
    }
    buf_clear(&f->out);
    return ERR_OK;
}

static enum err give_name(struct file *f, const char *path, char why[512])
{
    if (fsync(f->fd) != 0 || rename(f->passing, path) != 0)
        return fail(why, "cannot write", path);
    f->passing[0] = '\0';
    return ERR_OK;
}

static void file_close(struct file *f)
{
    if (f->fd > STDERR_FILENO)
        close(f->fd);
    if (f->passing[0])
        unlink(f->passing);
    buf_fini(&f->out);
    digest_sum_free(f->sum);
}

/* ---- the mark ---- */

static bool log_root(struct books *b, uint64_t size, struct hash *ret)
{
    struct merkle m = {.size = 0};
    for (int level = 63; level >= 0; level--) {
        struct hash subtree;
        if (!(size >> level & 1))
            continue;
        if (!books_subtree(b, (unsigned)level, m.size >> level, &subtree))
            return false;
        merkle_append_subtree(&m, (unsigned)level, &subtree);
    }
    merkle_root(&m, ret);
    return true;
}

static enum err put_mark(struct file *f, struct export_job *job)
{
    struct arena a;
    struct hash root;
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    uint64_t size = books_size(job->books);
    if (!log_root(job->books, size, &root)) {
        snprintf(job->why, 512, "the root of the log cannot be computed: `entente ledger verify` says what is damaged");
        return ERR_SYNTAX;
    }
    digest_sum_read(f->sum, digest);
    digest_hex(digest, sizeof digest, hex);
    arena_init(&a, 256);
    struct span root64 = digest_base64(&a, span_of(root.bytes, sizeof root.bytes));
    enum err e = buf_printf(&f->out, MARK "entries=%llu rows=%llu log_size=%llu root=%.*s sha256=%s", (unsigned long long)job->result->entries,
                            (unsigned long long)job->result->rows, (unsigned long long)size, SPAN_ARG(root64), hex);
    arena_fini(&a);
    return e ? e : buf_append(&f->out, writers[job->options->format]->after_mark);
}

/* ---- the books ---- */

struct run {
    struct export_job job;
    const struct export_writer *writer;
    void *state;
    struct file file;
};

static bool is_counted(const struct walk_step *s)
{
    return !s->entry || (s->entry->kind != ENTRY_NAME && s->entry->kind != ENTRY_PRICE);
}

static enum err on_step(void *owner, const struct walk_step *s)
{
    struct run *r = owner;
    const struct export_options *o = r->job.options;
    r->job.result->entries += !s->is_past && is_counted(s);
    enum err e = r->writer->step(&r->job, r->state, s);
    if (o->progress && s->seq % 4096 == 0)
        o->progress(o->owner, s->seq, books_size(r->job.books));
    return e || buf_bytes(&r->file.out) < SPILL_BYTES ? e : spill(&r->file, o->path, r->job.why);
}

static enum err write_all(struct run *r)
{
    const char *path = r->job.options->path;
    char *why = r->job.why;
    const struct walk_times times = {r->job.options->from_us, r->job.options->until_us, r->writer->wants_past};
    enum err e = r->writer->open(&r->job, &r->state);
    e = e ? e : walk_times(r->job.books, &times, on_step, r);
    e = e ? e : r->writer->end(&r->job, r->state);
    e = e ? e : spill(&r->file, path, why);
    e = e ? e : put_mark(&r->file, &r->job);
    e = e ? e : spill(&r->file, path, why);
    return e || !path ? e : give_name(&r->file, path, why);
}

enum err export_books(struct books *b, const struct export_options *o, struct export_result *ret, char why[512])
{
    struct run r = {.job = {b, o, NULL, ret, why}, .writer = writers[o->format]};
    *ret = (struct export_result){0};
    why[0] = '\0';
    r.job.out = &r.file.out;
    enum err e = file_open(&r.file, o->path, why);
    e = e ? e : write_all(&r);
    r.writer->close(r.state);
    file_close(&r.file);
    if (e && !why[0])
        snprintf(why, 512, "the books cannot be read: %s; `entente ledger verify` says what is damaged", err_sentence(e));
    return e;
}

/* ---- is it whole? ---- */

static enum err no_export(char why[512], const char *path, const char *what)
{
    snprintf(why, 512, "%s: %s", path, what);
    return ERR_SYNTAX;
}

static enum err sum_of_file(int fd, off_t bytes, char hex[2 * SHA256_BYTES + 1])
{
    struct digest_sum *sum = digest_sum_new();
    uint8_t digest[SHA256_BYTES];
    char part[16 * KIB];
    off_t at = 0;
    while (at < bytes) {
        size_t want = (size_t)(bytes - at) < sizeof part ? (size_t)(bytes - at) : sizeof part;
        ssize_t n = pread(fd, part, want, at);
        if (n <= 0)
            break;
        digest_sum_add(sum, span_of(part, (size_t)n));
        at += n;
    }
    digest_sum_read(sum, digest);
    digest_sum_free(sum);
    digest_hex(digest, sizeof digest, hex);
    return at == bytes ? ERR_OK : ERR_IO;
}

/* "name=value" of the mark; rest moves past it. */
static struct span mark_field(struct span *rest, struct span name)
{
    struct span word = span_cut(rest, ' ');
    return span_starts(word, name) ? span_from(word, name.n) : SPAN_NONE;
}

static bool read_mark(struct span mark, struct export_result *ret, struct span *ret_hex)
{
    struct span entries = mark_field(&mark, SPAN("entries=")), rows = mark_field(&mark, SPAN("rows="));
    struct span size = mark_field(&mark, SPAN("log_size=")), root = mark_field(&mark, SPAN("root="));
    struct span hex = mark_field(&mark, SPAN("sha256="));
    uint64_t log_size;
    if (!span_to_u64(entries, &ret->entries) || !span_to_u64(rows, &ret->rows) || !span_to_u64(size, &log_size) || root.n != 44 || mark.p)
        return false;
    struct span after = span_from(hex, 2 * SHA256_BYTES);
    *ret_hex = span_to(hex, 2 * SHA256_BYTES);
    for (int i = 0; i < EXPORT_FORMATS; i++)
        if (span_eq(after, writers[i]->after_mark))
            return true;
    return false;
}

static ptrdiff_t find_last(struct span text, struct span needle)
{
    ptrdiff_t found = -1;
    for (ptrdiff_t at; (at = span_find_span(span_from(text, (size_t)(found + 1)), needle)) >= 0;)
        found += 1 + at;
    return found;
}

static enum err check_open_file(int fd, const char *path, struct export_result *ret, char why[512])
{
    char tail[MARK_BYTES_MAX], hex[2 * SHA256_BYTES + 1];
    struct stat st;
    struct span said;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return no_export(why, path, "is no file that can be read twice");
    off_t from = st.st_size > MARK_BYTES_MAX ? st.st_size - MARK_BYTES_MAX : 0;
    ssize_t n = pread(fd, tail, sizeof tail, from);
    struct span end = span_of(tail, n > 0 ? (size_t)n : 0);
    ptrdiff_t at = find_last(end, SPAN(MARK));
    if (at < 0)
        return no_export(why, path, "does not end with the mark of an export: it was cut off, or is none; export again");
    if (!read_mark(span_from(end, (size_t)at + sizeof MARK - 1), ret, &said))
        return no_export(why, path, "the mark at its end is cut off or was changed; export again");
    if (sum_of_file(fd, from + at, hex) != ERR_OK)
        return no_export(why, path, "cannot be read to its end");
    if (!span_eq(said, span_str(hex)))
        return no_export(why, path, "was changed after it was written: its bytes do not have the SHA-256 that its mark says; export again");
    return ERR_OK;
}

enum err export_check(const char *path, struct export_result *ret, char why[512])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return no_export(why, path, strerror(errno));
    enum err e = check_open_file(fd, path, ret, why);
    close(fd);
    return e;
}
