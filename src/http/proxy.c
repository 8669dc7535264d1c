/* SPDX-License-Identifier: Apache-2.0
 *
 * Proxy variables. There is no standard for them; this follows what the common tools agree on, and where they do not, the
 * reading that sends less through the proxy.
 */
#include "http/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/digest.h"

/* An address as bytes: 4 or 16, or 0 when the text is a name. */
struct ip {
    uint8_t bytes[16];
    unsigned n;
};

static struct span unbracket(struct span s)
{
    return s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' ? span_of(s.p + 1, s.n - 2) : s;
}

static struct ip read_ip(struct span s)
{
    char text[INET6_ADDRSTRLEN];
    struct ip ip = {.n = 0};
    s = unbracket(s);
    if (s.n >= sizeof text)
        return ip;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (inet_pton(AF_INET, text, ip.bytes) == 1)
        ip.n = 4;
    else if (inet_pton(AF_INET6, text, ip.bytes) == 1)
        ip.n = 16;
    return ip;
}

static bool same_bits(const struct ip *a, const struct ip *b, uint64_t bits)
{
    if (a->n == 0 || a->n != b->n || bits > a->n * 8)
        return false;
    size_t whole = bits / 8;
    unsigned rest = bits % 8, mask = rest ? 0xff00u >> rest & 0xff : 0;
    return memcmp(a->bytes, b->bytes, whole) == 0 && (!rest || ((a->bytes[whole] ^ b->bytes[whole]) & mask) == 0);
}

static bool is_loopback(struct span host)
{
    static const struct ip v6 = {.bytes = {[15] = 1}, .n = 16};
    struct ip ip = read_ip(host);
    return span_eq_nocase(host, SPAN("localhost")) || (ip.n == 4 && ip.bytes[0] == 127) || same_bits(&ip, &v6, 128);
}

/* "name:443" loses its port when it is the origin's; a foreign port makes the entry say nothing. An IPv6 address is no port. */
static bool cut_port(struct span *entry, uint16_t port)
{
    size_t colon = entry->n;
    uint64_t number;
    while (colon > 0 && entry->p[colon - 1] != ':')
        colon--;
    if (colon == 0 || read_ip(*entry).n == 16 || !span_to_u64(span_from(*entry, colon), &number))
        return true;
    *entry = span_to(*entry, colon - 1);
    return number == port;
}

static bool is_under(struct span host, struct span name, bool itself)
{
    if (itself && span_eq_nocase(host, name))
        return true;
    return host.n > name.n && host.p[host.n - name.n - 1] == '.' && span_eq_nocase(span_from(host, host.n - name.n), name);
}

static bool entry_covers(struct span entry, struct span host, uint16_t port)
{
    struct ip ip = read_ip(host), network;
    uint64_t bits;
    struct span rest = entry;
    if (span_eq(entry, SPAN("*")))
        return true;
    struct span base = span_cut(&rest, '/');
    if (rest.p) {
        network = read_ip(base);
        return span_to_u64(rest, &bits) && same_bits(&ip, &network, bits);
    }
    if (!cut_port(&entry, port))
        return false;
    network = read_ip(entry);
    if (network.n || ip.n)
        return same_bits(&ip, &network, network.n * 8);
    bool dotted = entry.n && entry.p[0] == '.';
    entry = dotted ? span_from(entry, 1) : entry;
    return entry.n && is_under(host, entry, !dotted);
}

static bool is_exempt(struct span list, struct span host, uint16_t port)
{
    while (list.n) {
        size_t n = 0;
        while (n < list.n && list.p[n] != ',' && list.p[n] != ' ' && list.p[n] != '\t')
            n++;
        if (n && entry_covers(span_to(list, n), host, port))
            return true;
        list = span_from(list, n + 1);
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct span unescape(struct arena *a, struct span s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0;
        out[n++] = escape ? (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2])) : s.p[i];
        i += escape ? 2 : 0;
    }
    return span_of(out, n);
}

static const char *basic_authorization(struct arena *a, struct span userinfo)
{
    struct span plain = unescape(a, userinfo), coded = digest_base64(a, plain);
    return arena_printf(a, "Basic %.*s", SPAN_ARG(coded)).p;
}

static enum err read_host_port(struct arena *a, struct span text, struct client_proxy *ret, const char **ret_why)
{
    uint64_t port = 80;
    size_t close = 0, colon;
    if (text.n && text.p[0] == '[')
        while (close < text.n && text.p[close] != ']')
            close++;
    for (colon = close; colon < text.n && text.p[colon] != ':';)
        colon++;
    struct span host = unbracket(span_to(text, colon));
    if (!host.n || (colon < text.n && (!span_to_u64(span_from(text, colon + 1), &port) || port == 0 || port > 65535))) {
        *ret_why = "a proxy is written http://[user:password@]host:port";
        return ERR_SYNTAX;
    }
    ret->host = arena_strdup(a, host);
    ret->port = (uint16_t)port;
    return ERR_OK;
}

static enum err read_proxy(struct arena *a, struct span url, struct client_proxy *ret, const char **ret_why)
{
    ptrdiff_t scheme = span_find_span(url, SPAN("://")), end;
    if (scheme >= 0 && !span_starts_nocase(url, SPAN("http://"))) {
        *ret_why = "only http:// proxies are spoken (they carry https through CONNECT)";
        return ERR_SYNTAX;
    }
    struct span rest = scheme >= 0 ? span_from(url, 7) : url;
    if ((end = span_find(rest, '/')) >= 0)
        rest = span_to(rest, (size_t)end);
    size_t at = rest.n;
    while (at > 0 && rest.p[at - 1] != '@')
        at--;
    struct client_proxy proxy = {0};
    if (at > 1)
        proxy.authorization = basic_authorization(a, span_to(rest, at - 1));
    enum err e = read_host_port(a, span_from(rest, at), &proxy, ret_why);
    if (e == ERR_OK)
        *ret = proxy;
    return e;
}

enum err client_proxy_from_env(struct arena *a, bool tls, const char *host, uint16_t port, const struct client_proxy_env *env,
                               struct client_proxy *ret, const char **ret_why)
{
    struct span url = span_trim(span_str(tls ? env->https_proxy : env->http_proxy)), name = unbracket(span_str(host));
    if (!url.n)
        url = span_trim(span_str(env->all_proxy));
    if (!url.n || is_loopback(name) || is_exempt(span_str(env->no_proxy), name, port)) {
        *ret = (struct client_proxy){0};
        return ERR_OK;
    }
    return read_proxy(a, url, ret, ret_why);
}
