/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: never in the file itself, only env:NAME, file:PATH or, for keys of clients, sha256:HEX. A value is copied once, to where it
 * stays; buffers on the way are wiped. Messages name the variable or the file, never what was found there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/config_read.h"

const char *config_env(const struct reading *r, const char *name)
{
    return r->world && r->world->get_env ? r->world->get_env(r->world->owner, name) : getenv(name);
}

bool is_reference(struct span text)
{
    return span_starts(text, SPAN("env:")) || span_starts(text, SPAN("file:"));
}

static bool is_env_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'), digit = c >= '0' && c <= '9';
        if (!letter && !(digit && i > 0))
            return false;
    }
    return name.n > 0 && name.n <= 200;
}

static long read_env(struct reading *r, const struct node *n, struct span name, char *out, size_t max)
{
    char text[201];
    if (!is_env_name(name)) { /* not repeated: somebody may have put the secret itself here */
        config_error(r->errors, n, "after env: stands the name of an environment variable, e.g. env:PROVIDER_KEY");
        return -1;
    }
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    const char *value = config_env(r, text);
    size_t bytes = value ? strlen(value) : 0;
    if (!value)
        config_error(r->errors, n, "the environment variable %s is not set", text);
    else if (bytes > max)
        config_error(r->errors, n, "the environment variable %s is longer than %zu bytes", text, max);
    else if (bytes)
        memcpy(out, value, bytes);
    return value && bytes <= max ? (long)bytes : -1;
}

static long own_read_file(const char *path, char *out, size_t max, const char **ret_why)
{
    size_t bytes = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0)
        while (bytes < max && (got = read(fd, out + bytes, max - bytes)) > 0)
            bytes += (size_t)got;
    if (fd < 0 || got < 0)
        *ret_why = strerror(errno);
    if (fd >= 0)
        close(fd);
    return fd < 0 || got < 0 ? -1 : (long)bytes;
}

long config_read_file(const struct config_world *world, const char *path, char *out, size_t max, const char **ret_why)
{
    if (world && world->read_file)
        return world->read_file(world->owner, path, out, max, ret_why);
    return own_read_file(path, out, max, ret_why);
}

static long read_file(struct reading *r, const struct node *n, struct span name, char *out, size_t max)
{
    const char *why = "";
    if (name.n == 0) {
        config_error(r->errors, n, "after file: stands the path of a file, e.g. file:/run/secrets/provider-key");
        return -1;
    }
    const char *path = config_path(r, name);
    long bytes = config_read_file(r->world, path, out, max, &why);
    if (bytes < 0)
        config_error(r->errors, n, "the file %s cannot be read: %s", path, why);
    if (bytes == (long)max)
        config_error(r->errors, n, "the file %s is too long for a secret", path);
    if (bytes < 0 || bytes == (long)max)
        return -1;
    while (bytes > 0 && (out[bytes - 1] == '\n' || out[bytes - 1] == '\r'))
        bytes--;
    return bytes;
}

long read_reference(struct reading *r, const struct node *n, struct span reference, char *out, size_t max)
{
    bool is_env = span_starts(reference, SPAN("env:"));
    long bytes = is_env ? read_env(r, n, span_from(reference, 4), out, max) : read_file(r, n, span_from(reference, 5), out, max);
    if (bytes == 0)
        config_error(r->errors, n, is_env ? "the environment variable %s is empty" : "the file %s is empty", reference.p + (is_env ? 4 : 5));
    for (long i = 0; i < bytes; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f) {
            config_error(r->errors, n, "what %s gives holds a line break or another control character: it is no single secret", reference.p);
            digest_wipe(out, max);
            return -1;
        }
    return bytes > 0 ? bytes : -1;
}

static bool check_is_reference(struct reading *r, const struct field *f, const struct node *n, const char *more)
{
    if (!check_scalar(r, f, n))
        return false;
    if (!is_reference(n->text))
        config_error(r->errors, n, "\"%s\" must not be written into this file: put it into an environment variable or a file of its own, "
                     "and write env:NAME or file:PATH here%s", f->name, more);
    return is_reference(n->text);
}

void read_secret(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    char secret[SECRET_BYTES_MAX];
    if (!check_is_reference(r, f, n, ""))
        return;
    long bytes = read_reference(r, n, n->text, secret, sizeof secret);
    if (bytes > 0)
        *(struct span *)(void *)((char *)into + f->offset) = arena_dup(r->arena, span_of(secret, (size_t)bytes));
    digest_wipe(secret, sizeof secret);
}

static void read_hex(struct reading *r, const struct node *n, struct secret_digest *out)
{
    out->known = digest_from_hex(span_from(n->text, 7), out->digest, SHA256_BYTES);
    if (!out->known)
        config_error(r->errors, n, "after sha256: stand 64 hexadecimal digits, as `entente key new` prints them");
}

void read_digest(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    char secret[SECRET_BYTES_MAX];
    struct secret_digest *out = (struct secret_digest *)(void *)((char *)into + f->offset);
    if (n->kind == NODE_SCALAR && span_starts(n->text, SPAN("sha256:"))) {
        read_hex(r, n, out);
        return;
    }
    if (!check_is_reference(r, f, n, ", or sha256:HEX as `entente key new` prints it"))
        return;
    long bytes = read_reference(r, n, n->text, secret, sizeof secret);
    if (bytes > 0) {
        digest_sha256(span_of(secret, (size_t)bytes), out->digest);
        out->known = true;
    }
    digest_wipe(secret, sizeof secret);
}
