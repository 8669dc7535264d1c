/* SPDX-License-Identifier: Apache-2.0
 *
 * A strict reader of the few URLs that a config holds. What it accepts goes into request heads, so it accepts no byte that could end one.
 */
#include "serve/config_url.h"

#include <arpa/inet.h>

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name(struct span host)
{
    for (size_t i = 0; i < host.n; i++)
        if (!is_letter_or_digit(host.p[i]) && host.p[i] != '-' && host.p[i] != '.' && host.p[i] != '_')
            return false;
    return host.n > 0 && host.n <= 253 && host.p[0] != '.' && host.p[0] != '-';
}

static bool is_v6(struct span host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.n == 0 || host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_path(struct span path)
{
    for (size_t i = 0; i < path.n; i++)
        if (!is_letter_or_digit(path.p[i]) && !strchr("/-._~!$&'()*+,;=:@%", path.p[i]))
            return false;
    return true;
}

static const char *read_port(struct span text, uint16_t *ret)
{
    uint64_t port;
    if (!span_to_u64(text, &port) || port == 0 || port > UINT16_MAX)
        return "has a port that is no number from 1 to 65535";
    *ret = (uint16_t)port;
    return NULL;
}

struct host_port {
    struct span host; /* without brackets */
    bool has_port;
    uint16_t port;
};

static const char *read_host_port(struct span text, struct host_port *ret)
{
    struct span port = SPAN_NONE;
    bool bracketed = text.n && text.p[0] == '[';
    ptrdiff_t end = span_find(text, bracketed ? ']' : ':');
    struct span host = end < 0 ? text : span_to(text, (size_t)end);
    if (bracketed && end < 0)
        return "opens a bracket and does not close it";
    if (end >= 0)
        port = span_from(text, (size_t)end + bracketed);
    if (bracketed)
        host = span_from(host, 1);
    if (bracketed ? !is_v6(host) : !is_name(host))
        return "has no valid host name or address";
    *ret = (struct host_port){.host = host, .has_port = port.n > 0};
    if (port.n == 0)
        return NULL;
    return port.p[0] == ':' ? read_port(span_from(port, 1), &ret->port) : "has something between the address and the port";
}

static struct span without_final_slashes(struct span path)
{
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    return path;
}

static const char *check_base_path(struct span path)
{
    if (span_find(path, '?') >= 0)
        return "must not have a query (?…)";
    if (span_find(path, '#') >= 0)
        return "must not have a fragment (#…)";
    return is_path(path) ? NULL : "has a path with characters that need %-encoding";
}

static const char *read_unix(struct arena *a, struct span text, struct url *ret)
{
    ptrdiff_t colon = span_find(text, ':');
    struct span path = colon < 0 ? text : span_to(text, (size_t)colon), base = colon < 0 ? SPAN_NONE : span_from(text, (size_t)colon + 1);
    if (path.n == 0 || path.p[0] != '/' || path.n > 107)
        return "needs an absolute path of at most 107 bytes after unix:";
    if (base.n && base.p[0] != '/')
        return "needs a path such as /v1 after the second colon";
    const char *wrong = check_base_path(base);
    if (wrong)
        return wrong;
    *ret = (struct url){.unix_path = arena_strdup(a, path), .authority = SPAN("localhost"), .base_path = arena_dup(a, without_final_slashes(base))};
    return NULL;
}

const char *url_parse(struct arena *a, struct span text, struct url *ret)
{
    bool tls = span_starts_nocase(text, SPAN("https://"));
    if (span_starts(text, SPAN("unix:")))
        return read_unix(a, span_from(text, 5), ret);
    if (!tls && !span_starts_nocase(text, SPAN("http://")))
        return "must begin with https:// or http:// (or unix:/path)";
    struct span rest = span_from(text, tls ? 8 : 7), authority = rest, path = SPAN_NONE;
    for (size_t i = 0; i < rest.n && path.n == 0; i++)
        if (strchr("/?#", rest.p[i])) {
            authority = span_to(rest, i);
            path = span_from(rest, i);
        }
    if (span_find(authority, '@') >= 0)
        return "must not carry a user or password: use `credential:`";
    struct host_port at;
    const char *wrong = read_host_port(authority, &at);
    if (!wrong)
        wrong = check_base_path(path);
    if (wrong)
        return wrong;
    uint16_t standard = tls ? 443 : 80, port = at.has_port ? at.port : standard;
    bool is_six = span_find(at.host, ':') >= 0;
    struct span host = arena_printf(a, is_six ? "[%.*s]" : "%.*s", SPAN_ARG(at.host));
    *ret = (struct url){.tls = tls, .host = arena_strdup(a, at.host), .port = port, .base_path = arena_dup(a, without_final_slashes(path))};
    ret->authority = port == standard ? host : arena_printf(a, "%.*s:%u", SPAN_ARG(host), port);
    return NULL;
}
