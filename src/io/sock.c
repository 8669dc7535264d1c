/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as text and back, and the thin front of the sock calls: each goes to the world that its loop lives in.
 * Addresses are laid out as the kernel's in every world, so that this file is the only one that knows the layouts.
 */
#include "io/sock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "io/backend.h"

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof(((struct sock_address *)0)->u), "every address of the kernel fits");
_Static_assert(offsetof(struct sockaddr_in, sin_port) == 2 && offsetof(struct sockaddr_in, sin_addr) == 4, "u.in is a sockaddr_in");

/* Addresses. */

static enum err unix_parse(struct span path, struct sock_address *ret)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path.n == 0 || path.n >= sizeof un.sun_path || memchr(path.p, 0, path.n))
        return ERR_SYNTAX;
    memcpy(un.sun_path, path.p, path.n);
    *ret = (struct sock_address){.bytes = (unsigned)(offsetof(struct sockaddr_un, sun_path) + path.n + 1)};
    memcpy(ret->u.bytes, &un, sizeof un);
    return ERR_OK;
}

static enum err host_parse(struct span host, bool bracketed, uint16_t port, struct sock_address *ret)
{
    char text[INET6_ADDRSTRLEN];
    if (host.n >= sizeof text)
        return ERR_SYNTAX;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (bracketed && inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        *ret = (struct sock_address){.bytes = sizeof v6};
        memcpy(ret->u.bytes, &v6, sizeof v6);
        return ERR_OK;
    }
    if (!bracketed && inet_pton(AF_INET, strcmp(text, "localhost") == 0 ? "127.0.0.1" : text, &v4.sin_addr) == 1) {
        *ret = (struct sock_address){.bytes = sizeof v4};
        memcpy(ret->u.bytes, &v4, sizeof v4);
        return ERR_OK;
    }
    return ERR_SYNTAX;
}

enum err sock_address_parse(struct span text, struct sock_address *ret)
{
    if (span_starts(text, SPAN("unix:")))
        return unix_parse(span_from(text, 5), ret);
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon < 2 || !span_to_u64(span_from(text, colon), &port) || port > UINT16_MAX)
        return ERR_SYNTAX;
    struct span host = span_to(text, colon - 1);
    bool bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed)
        host = span_of(host.p + 1, host.n - 2);
    return host_parse(host, bracketed, (uint16_t)port, ret);
}

static int unix_text(const struct sock_address *a, char *out, size_t out_bytes)
{
    struct sockaddr_un un;
    memcpy(&un, a->u.bytes, sizeof un);
    size_t head = offsetof(struct sockaddr_un, sun_path), room = a->bytes > head ? a->bytes - head : 0;
    return snprintf(out, out_bytes, "unix:%.*s", (int)(room < sizeof un.sun_path ? room : sizeof un.sun_path), un.sun_path);
}

struct span sock_address_text(const struct sock_address *a, char *out, size_t out_bytes)
{
    char host[INET6_ADDRSTRLEN] = "";
    int n = 0;
    if (a->bytes && a->u.in.family == AF_INET) {
        inet_ntop(AF_INET, a->u.in.v4, host, sizeof host);
        n = snprintf(out, out_bytes, "%s:%u", host, ntohs(a->u.in.port_be));
    } else if (a->bytes && a->u.in.family == AF_INET6) {
        inet_ntop(AF_INET6, a->u.bytes + offsetof(struct sockaddr_in6, sin6_addr), host, sizeof host);
        n = snprintf(out, out_bytes, "[%s]:%u", host, ntohs(a->u.in.port_be));
    } else if (a->bytes && a->u.in.family == AF_UNIX) {
        n = unix_text(a, out, out_bytes);
    } else {
        n = snprintf(out, out_bytes, "unknown");
    }
    return span_of(out, n < 0 ? 0 : (size_t)n < out_bytes ? (size_t)n : out_bytes - 1);
}

bool sock_address_is_loopback(const struct sock_address *a)
{
    static const uint8_t mapped_v4[12] = {[10] = 0xff, [11] = 0xff};
    if (a->bytes == 0)
        return false;
    if (a->u.in.family == AF_UNIX)
        return true;
    if (a->u.in.family == AF_INET)
        return a->u.in.v4[0] == 127;
    struct in6_addr v6;
    memcpy(&v6, a->u.bytes + offsetof(struct sockaddr_in6, sin6_addr), sizeof v6);
    if (memcmp(&v6, mapped_v4, sizeof mapped_v4) == 0)
        return v6.s6_addr[12] == 127;
    return memcmp(&v6, &in6addr_loopback, sizeof v6) == 0;
}

/* The front. */

enum err sock_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *on_accept, void *owner, struct listener **ret,
                     const char **ret_why)
{
    return loop_backend(l)->listen(l, at, on_accept, owner, ret, ret_why);
}

void listener_pause(struct listener *ln) { loop_backend(ln->loop)->listener_set(ln, false); }
void listener_resume(struct listener *ln) { loop_backend(ln->loop)->listener_set(ln, true); }

void listener_close(struct listener *ln)
{
    if (ln)
        loop_backend(ln->loop)->listener_close(ln);
}

struct sock_address listener_address(const struct listener *ln) { return loop_backend(ln->loop)->listener_address(ln); }

enum err sock_connect(struct loop *l, const struct sock_address *to, struct sock **ret) { return loop_backend(l)->connect(l, to, ret); }
enum err sock_connect_result(struct sock *s) { return loop_backend(s->loop)->connect_result(s); }
struct sock_address sock_peer(const struct sock *s) { return loop_backend(s->loop)->peer(s); }

ssize_t sock_read(struct sock *s, void *into, size_t bytes)
{
    CHECK(bytes > 0); /* the answer 0 could not be told from the peer's end */
    return loop_backend(s->loop)->read(s, into, bytes);
}

ssize_t sock_writev(struct sock *s, const struct iovec *parts, int n) { return loop_backend(s->loop)->writev(s, parts, n); }
void sock_shutdown_write(struct sock *s) { loop_backend(s->loop)->shutdown_write(s); }

void sock_close(struct sock *s)
{
    if (s)
        loop_backend(s->loop)->close_sock(s, false);
}

void sock_abort(struct sock *s)
{
    if (s)
        loop_backend(s->loop)->close_sock(s, true);
}
