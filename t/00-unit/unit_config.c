/* SPDX-License-Identifier: Apache-2.0
 *
 * The config: what each mistake is told as, what right files mean, and that the page docs/config.md tells of every key.
 *
 * Rows are YAML and the exact lines that come of it. "entente.yaml:" before each line is left out of the rows.
 */
#include "serve/config.h"
#include "unit.h"

#include "base/limits.h"

/* ---- a world with a few variables and files ---- */

static const struct { const char *name, *value; } variables[] = {
    {"KEY_A", "secret-a"}, {"KEY_B", "secret-b"}, {"AZURE_KEY", "secret-c"}, {"LEGAL_KEY", "secret-d"}, {"ENTENTE_ADMIN_KEY", "secret-e"}, {"EMPTY", ""}, {"TWO_LINES", "canary-1\ncanary-2"}, {"PROXY_URL", "http://user:canary-3@proxy:3128"},
    {"HTTPS_PROXY", "http://env-proxy:8888"}, {"NO_PROXY", "direct.example"},
};
static const struct { const char *path, *text; } files[] = {
    {"secret.txt", "secret-from-file\n"}, {"/abs/secret.txt", "absolute\r\n"}, {"empty.txt", "\n"}, {"conf/near.txt", "near\n"},
    {"usd.yaml", "books:\n  - {book: list, seller: maker, currency: USD, from: 2026-01-01, lines: [{model: '*', provider: p, input: 1, output: 2}]}\n"},
    {"eur.yaml", "books:\n  - {book: ours, seller: self, buyer: legal, currency: EUR, from: 2026-01-01, lines: [{model: '*', input: 2, output: 4}]}\n"},
    {"far.yaml", "books:\n  - {book: far, seller: other, currency: EUR, from: 2026-01-01, lines: [{model: '*', provider: elsewhere, input: 1}]}\n"},
    {"broken.yaml", "books: 1\n"},
};

static const char *get_env(void *owner, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        if (strcmp(variables[i].name, name) == 0 && (owner == NULL || strcmp(name, "HTTPS_PROXY") != 0))
            return variables[i].value;
    return NULL;
}

static long read_file(void *owner, const char *path, char *out, size_t max, const char **ret_why)
{
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (strcmp(files[i].path, path) == 0) {
            size_t n = strlen(files[i].text) < max ? strlen(files[i].text) : max;
            memcpy(out, files[i].text, n);
            return (long)n;
        }
    *ret_why = "No such file or directory";
    return -1;
}

static const struct config_world world = {.get_env = get_env, .read_file = read_file, .owner = (void *)&world, .without_tls = true};
static const struct config_world world_with_proxy = {.get_env = get_env, .read_file = read_file, .without_tls = true};

/* ---- reading ---- */

#define FILE_NAME "entente.yaml"

static struct config *parse_in(const char *file, const char *text, const struct config_world *w, char *said, size_t said_bytes)
{
    struct config *c = NULL;
    struct config_errors errors;
    struct arena arena;
    config_errors_init(&errors);
    arena_init(&arena, 1024);
    said[0] = '\0';
    enum err e = config_parse(file, span_str(text), w, &c, &errors);
    EXPECT((e == ERR_OK) == (errors.n == 0) && (e == ERR_OK) == (c != NULL));
    for (unsigned i = 0; i < errors.n; i++) {
        struct span line = config_errors_line(&errors, i, &arena), rest = line;
        if (span_starts(line, SPAN(FILE_NAME ":")))
            rest = span_from(line, sizeof FILE_NAME);
        snprintf(said + strlen(said), said_bytes - strlen(said), "%s%.*s", i ? "\n" : "", SPAN_ARG(rest));
    }
    arena_fini(&arena);
    config_errors_fini(&errors);
    return c;
}

static void expect_said(const char *text, const char *expected)
{
    char said[16384];
    struct config *c = parse_in(FILE_NAME, text, &world, said, sizeof said);
    if (strcmp(said, expected) != 0)
        UNIT_FAIL("this config:\n%s\nsays\n%s\ninstead of\n%s", text, said, expected);
    EXPECT(!strstr(said, "canary") && !strstr(said, "secret-"));
    config_free(c);
}

static struct config *right(const char *text)
{
    char said[4096];
    struct config *c = parse_in(FILE_NAME, text, &world, said, sizeof said);
    if (!c)
        UNIT_FAIL("this config:\n%s\nsays\n%s", text, said);
    return c;
}

struct row {
    const char *text, *said;
};

static void expect_rows(const struct row *rows, size_t n, const char *before)
{
    char text[8192];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s%s", before, rows[i].text);
        expect_said(text, rows[i].said);
    }
}

#define P "providers: {p: {dialect: openai, url: 'http://127.0.0.1:8000/v1'}}\n"
#define M "models: {m: [{provider: p}]}\n"

/* ---- YAML ---- */

TEST(broken_yaml_is_told_with_its_place)
{
    static const struct row rows[] = {
        {"", "1:1: the file is empty"},
        {"# nothing\n", "2:1: the file is empty"},
        {"a: [1, 2\nb: 3\n", "2:2: YAML syntax: did not find expected ',' or ']', while parsing a flow sequence that began in line 1"},
        {"listen:\n\t- 127.0.0.1:8080\n", "2:1: YAML is indented with spaces, and here is a tab"},
        {"a: 1\n  b: 2\n", "2:4: YAML syntax: mapping values are not allowed in this context"},
        {"listen: 'x\n", "2:1: YAML syntax: found unexpected end of stream, while scanning a quoted scalar that began in line 1"},
        {"a: \xff\n", "1:4: this byte is not valid UTF-8: save the file as UTF-8"},
        {"\xc3\xa4: \xed\xa0\x80\n", "1:4: this byte is not valid UTF-8: save the file as UTF-8"},
        {"a: \"x\x01\"\n", "1:6: control characters are not allowed"},
        {"- a\n", "1:1: the config must be a map with such keys as \"listen: ...\""},
        {"just words\n", "1:1: the config must be a map with such keys as \"listen: ...\""},
        {"a: 1\n---\nb: 2\n", "2:1: a second document begins here: one file, one config"},
        {"? {a: b}\n: c\n", "1:3: a key must be a word, not a map or a list"},
        {"listen: !env PORT\n", "1:9: tags (!name) are not understood here: remove it"},
        {"a: *b\n", "1:4: this alias (*name) names no anchor (&name) above it"},
        {"a: &b [*b]\n", "1:8: this alias (*name) stands inside of what it names"},
        {"a: &b {x: y}\nc: {<<: *b}\n", "2:5: merge keys (<<) are not understood here: write the keys out"},
        {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", "1:35: this nests too deeply"},
    };
    expect_rows(rows, COUNT_OF(rows), "");
}

TEST(a_key_that_stands_twice_is_told)
{
    expect_said(P M "workers: 1\nworkers: 2\n", "4:1: \"workers\" stands here twice; it is already in line 3");
    expect_said("providers:\n  p: {dialect: openai, url: 'http://h'}\n  p: {dialect: openai, url: 'http://h'}\n" M,
                "3:3: \"p\" stands here twice; it is already in line 2");
    expect_said(P "models:\n  m: [{provider: p, model: a, model: b}]\n", "3:31: \"model\" stands here twice; it is already in line 3");
}

TEST(nested_aliases_cannot_grow_without_bound)
{
    char text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 10; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_said(text, "6:45: too many values, counting what aliases (*name) expand to");
}

TEST(an_alias_means_what_it_names)
{
    struct config *c = right("providers:\n  p: {dialect: openai, url: 'http://h/v1', timeouts: &slow {idle: 7m}}\n"
                             "  q: {dialect: openai, url: 'http://i/v1', timeouts: *slow}\n" M);
    REQUIRE(c);
    EXPECT_EQ(c->catalog->providers[1]->idle_timeout_ns, 420 * NS_PER_S);
    config_free(c);
}

/* ---- keys and values ---- */

TEST(a_mistyped_key_gets_the_one_that_was_meant)
{
    static const struct row rows[] = {
        {P M "liste: 127.0.0.1:1\n", "3:1: unknown key \"liste\" in the config: did you mean \"listen\"?"},
        {P M "timouts: {idle: 1s}\n", "3:1: unknown key \"timouts\" in the config: did you mean \"timeouts\"?"},
        {P M "log: {lvel: info}\n", "3:7: unknown key \"lvel\" in log: did you mean \"level\"?"},
        {P M "log: {colour: red}\n", "3:7: unknown key \"colour\" in log, which has: level, exchanges"},
        {"providers: {p: {dilect: openai, url: 'http://h'}}\n" M, "1:17: unknown key \"dilect\" in a provider: did you mean \"dialect\"?"},
        {P "models: {m: [{provdier: p}]}\n", "2:15: unknown key \"provdier\" in a deployment: did you mean \"provider\"?"},
        {P M "keys: [{name: a, sercet: env:KEY_A}]\n", "3:18: unknown key \"sercet\" in a key: did you mean \"secret\"?"},
    };
    expect_rows(rows, COUNT_OF(rows), "");
}

TEST(what_is_missing_is_told)
{
    static const struct row rows[] = {
        {M, "1:1: \"providers\" is missing: who can be asked, e.g. local: {dialect: openai, url: http://127.0.0.1:8000/v1}"},
        {P, "1:1: \"models\" is missing: what clients ask for, e.g. gpt-4o: [{provider: local, model: llama-4}]"},
        {"providers: {p: {}}\n" M, "1:16: \"dialect\" is missing: how the provider speaks: openai or azure-openai\n"
                                   "1:16: \"url\" is missing: where the provider is, e.g. https://api.openai.com/v1"},
        {"providers: {p: {dialect: openai, url: }}\n" M, "1:39: \"url\" is missing: where the provider is, e.g. https://api.openai.com/v1"},
        {P "models: {m: [{model: x}]}\n", "2:14: \"provider\" is missing: one of `providers`"},
        {P M "keys: [{}]\n", "3:8: \"name\" is missing: what logs and records call the key\n"
                            "3:8: \"secret\" is missing: what clients present; `entente key new` makes one"},
        {P M "admin: {}\n", "3:8: \"key\" is missing: the secret that opens /admin/v1"},
        {P M "listen: [{tls: {}}]\n", "3:10: \"address\" is missing: where to listen; port 0 lets the system choose\n"
                                     "3:16: \"cert\" is missing: the certificate and its chain, PEM\n"
                                     "3:16: \"key\" is missing: the private key of `cert`, PEM"},
    };
    expect_rows(rows, COUNT_OF(rows), "");
}

TEST(a_wrong_value_is_told_with_what_would_be_right)
{
    static const struct row rows[] = {
        {"workers: many\n", "3:10: \"workers\" must be a number from 1 to 256, not \"many\""},
        {"workers: 0\n", "3:10: \"workers\" must lie between 1 and 256, and is \"0\""},
        {"workers: -1\n", "3:10: \"workers\" must be a number from 1 to 256, not \"-1\""},
        {"workers: [1]\n", "3:10: \"workers\" takes a single value (number), not a list"},
        {"drain: 30\n", "3:8: \"drain\" must be a duration such as 250ms, 30s, 5m or 1h, not \"30\""},
        {"timeouts: {idle: 0s}\n", "3:18: \"idle\" must lie between 1ms and 1d, and is \"0s\""},
        {"limits: {body: big}\n", "3:16: \"body\" must be a size such as 32MiB (B, KiB, MiB, GiB), not \"big\""},
        {"limits: {body: 2GiB}\n", "3:16: \"body\" must lie between 1KiB and 1GiB, and is \"2GiB\""},
        {"limits: {body: 99999999999999999999GiB}\n", "3:16: \"body\" must be a size such as 32MiB (B, KiB, MiB, GiB), not \"99999999999999999999GiB\""},
        {"log: {level: loud}\n", "3:14: \"level\" must be off, error, warn, info or debug, not \"loud\""},
        {"log: {exchanges: yes}\n", "3:18: \"exchanges\" must be true or false, not \"yes\""},
        {"log: info\n", "3:6: log must be a map with such keys as \"level: ...\""},
        {"data: {}\n", "3:7: \"data\" must be a text, not a map"},
        {"data: ''\n", "3:7: \"data\" must not be empty"},
        {"retry: {attempts: 9}\n", "3:19: \"attempts\" must lie between 1 and 8, and is \"9\""},
        {"keys: {name: a}\n", "3:7: \"keys\" must be a list of at most 100000 keys, e.g. - {name: legal-app, secret: env:LEGAL_KEY}"},
        {"agreements: [acme.agreement]\n", "3:13: \"agreements\" is not in this version yet: remove it; the gateway would not keep to it"},
    };
    expect_rows(rows, COUNT_OF(rows), P M);
}

TEST(addresses_to_listen_on_are_checked)
{
    static const struct row rows[] = {
        {"listen: 127.0.0.1:70000\n", "3:9: the port 70000 is out of range: ports go up to 65535"},
        {"listen: localhost:8080\n", ""},
        {"listen: gateway.example:80\n",
         "3:9: \"gateway.example:80\" is no address to listen on: write e.g. 127.0.0.1:8080, 0.0.0.0:8080, [::]:8080 or unix:/run/entente.sock"},
        {"listen: 8080\n", "3:9: \"8080\" is no address to listen on: write e.g. 127.0.0.1:8080, 0.0.0.0:8080, [::]:8080 or unix:/run/entente.sock"},
        {"listen: []\n", "3:9: \"listen\" needs 1 to 64 addresses"},
        {"listen: ['127.0.0.1:1', '127.0.0.1:1']\n", "3:25: 127.0.0.1:1 stands here twice"},
        {"listen: ['127.0.0.1:0', '127.0.0.1:0']\n", ""},
        {"listen: 0.0.0.0:80\n", "3:9: 0.0.0.0:80 can be reached from outside of this machine, and there are no keys: add `keys:`, or listen on 127.0.0.1"},
        {"listen: ['127.0.0.1:1', {address: '[::]:80'}]\nkeys: []\n",
         "3:25: [::]:80 can be reached from outside of this machine, and there are no keys: add `keys:`, or listen on 127.0.0.1"},
        {"listen: 0.0.0.0:80\nkeys: [{name: a, secret: env:KEY_A}]\n", ""},
        {"listen: 'unix:/run/entente.sock'\n", ""},
    };
    expect_rows(rows, COUNT_OF(rows), P M);
}

TEST(urls_of_providers_are_checked)
{
    static const struct { const char *url, *wrong; } rows[] = {
        {"ftp://h", "must begin with https:// or http:// (or unix:/path)"},
        {"api.openai.com/v1", "must begin with https:// or http:// (or unix:/path)"},
        {"https://", "has no valid host name or address"},
        {"https://a b/v1", "has no valid host name or address"},
        {"https://h:0/v1", "has a port that is no number from 1 to 65535"},
        {"https://h:65536", "has a port that is no number from 1 to 65535"},
        {"https://h:x", "has a port that is no number from 1 to 65535"},
        {"https://[::1", "opens a bracket and does not close it"},
        {"https://[::g]/", "has no valid host name or address"},
        {"https://[::1]x/", "has something between the address and the port"},
        {"https://user:canary@h/v1", "must not carry a user or password: use `credential:`"},
        {"https://h/v1?x=1", "must not have a query (?…)"},
        {"https://h/v1#x", "must not have a fragment (#…)"},
        {"https://h/v 1", "has a path with characters that need %-encoding"},
        {"unix:relative", "needs an absolute path of at most 107 bytes after unix:"},
        {"unix:/s:v1", "needs a path such as /v1 after the second colon"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256], said[256];
        snprintf(text, sizeof text, "providers: {p: {dialect: openai, url: '%s'}}\n" M, rows[i].url);
        snprintf(said, sizeof said, "1:39: this URL %s", rows[i].wrong);
        expect_said(text, said);
    }
}

TEST(a_url_becomes_host_port_authority_and_path)
{
    static const struct { const char *url; bool tls; const char *host; unsigned port; const char *authority, *path, *unix_path; } rows[] = {
        {"https://api.openai.com/v1", true, "api.openai.com", 443, "api.openai.com", "/v1", NULL},
        {"https://api.openai.com:443/v1/", true, "api.openai.com", 443, "api.openai.com", "/v1", NULL},
        {"HTTP://127.0.0.1:8000", false, "127.0.0.1", 8000, "127.0.0.1:8000", "", NULL},
        {"http://[::1]:11434/v1//", false, "::1", 11434, "[::1]:11434", "/v1", NULL},
        {"http://h/", false, "h", 80, "h", "", NULL},
        {"unix:/run/vllm.sock:/v1", false, NULL, 0, "localhost", "/v1", "/run/vllm.sock"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256];
        snprintf(text, sizeof text, "providers: {p: {dialect: openai, url: '%s'}}\n" M, rows[i].url);
        struct config *c = right(text);
        REQUIRE(c);
        const struct provider *p = c->catalog->providers[0];
        EXPECT_EQ(p->origin.tls, rows[i].tls);
        EXPECT_EQ(p->origin.port, rows[i].port);
        EXPECT_SPAN(p->authority, rows[i].authority);
        EXPECT_SPAN(p->base_path, rows[i].path);
        if (rows[i].host)
            EXPECT_STR(p->origin.host, rows[i].host);
        else
            EXPECT_STR(p->origin.unix_path, rows[i].unix_path);
        config_free(c);
    }
}

TEST(providers_models_and_dialects_that_do_not_exist_are_told)
{
    static const struct row rows[] = {
        {"providers: {p: {dialect: anthropic, url: 'https://h'}}\n" M, "1:26: the dialect \"anthropic\" is not in this version; it has: openai, azure-openai"},
        {"providers: {p: {dialect: ollama, url: 'http://h'}}\n" M,
         "1:26: the dialect \"ollama\" is not in this version; it has: openai, azure-openai; Ollama answers to openai, too, at http://HOST:11434/v1"},
        {"providers: {p: {dialect: azure-opnai, url: 'https://h'}}\n" M, "1:26: unknown dialect \"azure-opnai\": did you mean \"azure-openai\"?"},
        {"providers: {p: {dialect: cohere, url: 'https://h'}}\n" M, "1:26: unknown dialect \"cohere\"; there are: openai, azure-openai"},
        {"providers: {azure-eu: {dialect: openai, url: 'http://h'}}\nmodels: {m: [{provider: azure-ue}]}\n",
         "2:25: unknown provider \"azure-ue\": did you mean \"azure-eu\"?"},
        {P "models: {m: [{provider: nobody}]}\n", "2:25: unknown provider \"nobody\": it does not stand under `providers:`"},
        {P "models: {m: [{provider: p}, {provider: p}]}\n",
         "2:29: this deployment stands here twice; for a larger part use `select: weighted` and `weight`"},
        {P "models: {m: []}\n", "2:13: a model needs a list of 1 to 64 deployments, e.g. - {provider: NAME, model: NAME-THERE}"},
        {P "models: {m: p}\n", "2:13: a model needs a list of 1 to 64 deployments, e.g. - {provider: NAME, model: NAME-THERE}"},
        {P "models: {'gpt-*': [{provider: p}]}\n",
         "2:10: a model's name is a pattern only as \"*\" alone, which answers for every name that is not listed"},
        {P "models: {m: {select: fastest, deployments: [{provider: p}]}}\n", "2:22: \"select\" must be ordered, weighted or least-latency, not \"fastest\""},
        {"providers: {'p q': {dialect: openai, url: 'http://h'}}\nmodels: {m: [{provider: 'p q'}]}\n",
         "1:13: a provider's name has letters, digits, '-', '_' and '.', at most 47 of them, and begins with a letter or digit"},
        {P M "keys: [{name: a, secret: env:KEY_A, models: [n, 'x*', m]}]\n", "3:46: \"n\" is none of `models:`\n3:49: \"x*\" is none of `models:`"},
        {P "models: {m: [{provider: p}], '*': [{provider: p}]}\nkeys: [{name: a, secret: env:KEY_A, models: [n]}]\n", ""},
    };
    expect_rows(rows, COUNT_OF(rows), "");
}

/* ---- secrets ---- */

TEST(a_secret_in_the_file_is_refused_and_not_repeated)
{
    static const struct row rows[] = {
        {"keys: [{name: a, secret: sk-canary}]\n", "3:26: \"secret\" must not be written into this file: put it into an environment variable or a file of its own, "
         "and write env:NAME or file:PATH here, or sha256:HEX as `entente key new` prints it"},
        {"keys: [{name: a, secret: env:sk-canary}]\n", "3:26: after env: stands the name of an environment variable, e.g. env:PROVIDER_KEY"},
        {"keys: [{name: a, secret: 'sha256:canary'}]\n", "3:26: after sha256: stand 64 hexadecimal digits, as `entente key new` prints them"},
        {"keys: [{name: a, secret: env:UNSET}]\n", "3:26: the environment variable UNSET is not set"},
        {"keys: [{name: a, secret: env:EMPTY}]\n", "3:26: the environment variable EMPTY is empty"},
        {"keys: [{name: a, secret: env:TWO_LINES}]\n",
         "3:26: what env:TWO_LINES gives holds a line break or another control character: it is no single secret"},
        {"keys: [{name: a, secret: file:gone.txt}]\n", "3:26: the file gone.txt cannot be read: No such file or directory"},
        {"keys: [{name: a, secret: file:empty.txt}]\n", "3:26: the file empty.txt is empty"},
        {"keys: [{name: a, secret: 'file:'}]\n", "3:26: after file: stands the path of a file, e.g. file:/run/secrets/provider-key"},
        {"admin: {key: canary}\n", "3:14: \"key\" must not be written into this file: put it into an environment variable or a file of its own, "
         "and write env:NAME or file:PATH here, or sha256:HEX as `entente key new` prints it"},
        {"keys: [{name: a, secret: env:KEY_A}, {name: b, secret: env:KEY_A}]\n",
         "3:56: the keys \"a\" and \"b\" have the same secret: nobody could tell them apart"},
        {"keys: [{name: a, secret: env:KEY_A}, {name: a, secret: env:KEY_B}]\n", "3:45: two keys are named \"a\"; the other is in line 3"},
        {"keys: [{name: a, secret: env:KEY_A}]\nadmin: {key: env:KEY_A}\n",
         "4:8: the admin key and the key \"a\" have the same secret: an application must not be an administrator"},
    };
    expect_rows(rows, COUNT_OF(rows), P M);
    expect_said("providers: {p: {dialect: openai, url: 'http://h', credential: sk-canary}}\n" M,
                "1:63: \"credential\" must not be written into this file: put it into an environment variable or a file of its own, "
                "and write env:NAME or file:PATH here");
}

TEST(headers_of_a_provider_are_checked)
{
    static const struct { const char *headers, *said; } rows[] = {
        {"{'X Y': z}", "1:61: \"X Y\" is no valid name of a header"},
        {"{Host: z}", "1:61: \"Host\" is a header that the gateway sets itself: remove it"},
        {"{X-A: 1, x-a: 2}", "1:69: \"x-a\" is a header that stands here twice"},
        {"{Authorization: Bearer canary}",
         "1:76: the header \"authorization\" carries a secret, which must not be written into this file: write env:NAME or file:PATH here"},
        {"{X-A: [1]}", "1:66: a header's value must be a text, not a list"},
        {"{X-A: env:UNSET}", "1:66: the environment variable UNSET is not set"},
        {"[x]", "1:60: \"headers\" must be a map of at most 32 names to values"},
        {"{X-A: b, Authorization: env:KEY_A}", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256];
        snprintf(text, sizeof text, "providers: {p: {dialect: openai, url: 'http://h', headers: %s}}\n" M, rows[i].headers);
        expect_said(text, rows[i].said);
    }
}

TEST(secrets_arrive_where_they_are_used_and_paths_are_relative_to_the_file)
{
    char said[1024];
    struct config *c = parse_in("conf/entente.yaml",
                                "data: books\nlisten: {address: '127.0.0.1:1', tls: {cert: a.pem, key: /b.pem}}\n"
                                "providers:\n  p: {dialect: openai, url: 'http://h/v1', credential: file:near.txt, headers: {X-Org: one, X-Key: env:KEY_A}}\n"
                                "  q: {dialect: azure-openai, url: 'http://h', credential: file:/abs/secret.txt, region: eu, api_version: 2024-10-21}\n"
                                "models: {m: [{provider: q, model: prod}, {provider: p}]}\n"
                                "keys:\n  - {name: app, secret: env:KEY_B, department: legal, party: acme, models: ['m*']}\n"
                                "  - {name: old, secret: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', revoked: true}\n"
                                "admin: {key: env:KEY_A}\n",
                                &world, said, sizeof said);
    EXPECT_STR(said, "");
    REQUIRE(c);
    const struct catalog *k = c->catalog;
    const struct key *key = NULL;
    EXPECT_STR(c->data_dir, "conf/books");
    EXPECT_STR(c->listen[0].cert_file, "conf/a.pem");
    EXPECT_STR(c->listen[0].key_file, "/b.pem");
    EXPECT_SPAN(k->providers[0]->credential, "near");
    EXPECT_SPAN(k->providers[1]->credential, "absolute");
    EXPECT_SPAN(k->providers[0]->extra_headers[0].name, "x-org");
    EXPECT_SPAN(k->providers[0]->extra_headers[1].value, "secret-a");
    EXPECT_STR(k->providers[1]->region, "eu");
    EXPECT_SPAN(k->providers[1]->api_version, "2024-10-21");
    EXPECT_SPAN(k->models[0].deployments[0]->wire_model, "\"prod\"");
    EXPECT_SPAN(k->models[0].deployments[1]->model, "m");
    EXPECT_EQ(catalog_key(k, SPAN("secret-b"), &key), ERR_OK);
    EXPECT(key && strcmp(key->department, "legal") == 0 && strcmp(key->party, "acme") == 0 && key->models_n == 1);
    EXPECT_EQ(catalog_key(k, SPAN("test"), &key), ERR_KEY_REVOKED);
    EXPECT(catalog_is_admin(k, SPAN("secret-a")));
    config_free(c);
}

/* ---- money ---- */

#define K "keys: [{name: app, secret: env:KEY_A, department: legal}, {name: bot, secret: env:KEY_B, party: acme}]\n"

TEST(a_budget_that_would_protect_nobody_is_told)
{
    static const struct row rows[] = {
        {"budgets: [{name: B, for: {department: legal}, limit: 5 USD}]\n", "4:11: budget \"B\" would never count: nothing has a price; add `prices:`"},
        {"prices: [gone.yaml]\nbudgets: [{name: B, for: {department: legal}, limit: 5 USD}]\n", "gone.yaml: cannot be read: No such file or directory"},
        {"prices: [usd.yaml]\nbudgets: [{name: B, for: {department: lega}, limit: 5 USD}]\n",
         "5:26: budget \"B\" would never count: no key has the department \"lega\""},
        {"prices: [usd.yaml]\nbudgets: [{name: B, for: {provider: q}, limit: 5 USD}]\n",
         "5:26: budget \"B\" would never count: no price book is about a deployment at the provider \"q\""},
        {"prices: [usd.yaml, far.yaml]\nbudgets: [{name: B, for: {seller: other}, limit: 5 USD}]\n",
         "5:26: budget \"B\" would never count: no price book about a deployment is of the seller \"other\""},
        {"prices: [usd.yaml]\nbudgets: [{name: B, for: {department: legal}, limit: 5 EUR}]\n",
         "5:54: budget \"B\" is in EUR, but legal is charged in USD: usd.yaml:2"},
        {"prices: [usd.yaml, eur.yaml]\nbudgets: [{name: B, for: {department: legal}, limit: 5 EUR}]\n", ""},
        {"prices: [usd.yaml, eur.yaml]\nbudgets: [{name: B, for: {department: legal}, limit: 5 USD}]\n",
         "5:54: budget \"B\" is in USD, but legal is charged in EUR: eur.yaml:2"},
        {"prices: [usd.yaml, eur.yaml]\nbudgets: [{name: B, for: all, limit: 5 USD}]\n", "5:38: budget \"B\" is in USD, but legal is charged in EUR: eur.yaml:2"},
        {"prices: [usd.yaml, far.yaml]\nbudgets: [{name: B, for: all, limit: 5 USD}]\n", ""},
        {"prices: [usd.yaml]\nbudgets: [{name: B, for: {provider: p}, limit: 5 EUR}]\n", "5:48: budget \"B\" is in EUR, but p is charged in USD: usd.yaml:2"},
    };
    expect_rows(rows, COUNT_OF(rows), P M K);
}

TEST(a_budget_is_checked_value_by_value)
{
    static const struct { const char *budget, *said; } rows[] = {
        {"name: B, for: legal, limit: 5 USD", "5:26: \"for\" must say whose budget it is, e.g. {department: legal}, {key: legal-app}, {provider: \"azure-*\"} or all"},
        {"name: B, for: {team: legal}, limit: 5 USD",
         "5:26: \"for\" must be one of key, department, party, provider and seller with a name or pattern, e.g. {department: legal}, or all"},
        {"name: B, for: all, limit: 5", "5:38: \"limit\" must be an amount and a currency, e.g. 4000 EUR, not \"5\""},
        {"name: B, for: all, limit: 5 DOLLARS", "5:38: \"limit\" must be an amount and a currency, e.g. 4000 EUR, not \"5 DOLLARS\""},
        {"name: B, for: all, limit: 0 USD",
         "5:38: \"limit\" must be an amount above zero with at most 15 decimals and a currency, e.g. 4000 EUR, not \"0 USD\""},
        {"name: B, for: all, limit: 0.0000000000000001 USD",
         "5:38: \"limit\" must be an amount above zero with at most 15 decimals and a currency, e.g. 4000 EUR, not \"0.0000000000000001 USD\""},
        {"name: B, for: all, limit: 5 USD, period: decade", "5:53: \"period\" must be day, week, month, quarter or year, not \"decade\""},
        {"name: B, for: all, limit: 5 USD, zone: Europe/Pariss",
         "5:51: this system knows no time zone \"Europe/Pariss\": write a name such as UTC or Europe/Paris (package tzdata has them)"},
        {"name: B, for: all, limit: 5 USD, zone: ../passwd", "5:51: \"../passwd\" is no time zone: write a name such as UTC or Europe/Paris"},
        {"name: B, for: all, limit: 5 USD, hard: maybe", "5:51: \"hard\" must be true, false or a part; a part of the limit is written as 80%"},
        {"name: B, for: all, limit: 5 USD, hard: 0%", "5:51: \"hard\" must be true, false or a part; a part of the limit is written as 80%"},
        {"name: B, for: all, limit: 5 USD, warn: 80%", "5:51: \"warn\" must be a list of at most 4 parts of the limit, e.g. [80%, 90%]"},
        {"name: B, for: all, limit: 5 USD, warn: [90%, 80%]", "5:57: \"warn\" must rise from level to level, e.g. [80%, 90%]"},
        {"name: B, for: all, limit: 5 USD, then: [n]", "5:52: \"n\" is none of `models:`"},
        {"name: B, for: all, limit: 5 USD, then: [m], hard: false", "5:51: \"then\" is for a hard budget: this one refuses nothing"},
        {"name: B, for: all, limit: 5 USD, each: true", "5:51: \"each\" is for a pattern of names, and this budget is for all together"},
        {"for: all, limit: 5 USD", "5:11: \"name\" is missing: what clients, logs and metrics call the budget"},
        {"name: B, for: all, limit: 5 USD, hard: 120%, warn: [80%, 90%, 100%], then: [m], period: day, zone: UTC", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[1024];
        snprintf(text, sizeof text, P M K "prices: [usd.yaml]\nbudgets: [{%s}]\n", rows[i].budget);
        expect_said(text, rows[i].said);
    }
    expect_said(P M K "prices: [usd.yaml]\nbudgets:\n  - {name: B, for: all, limit: 5 USD}\n  - {name: B, for: {key: app}, limit: 5 USD}\n",
                "7:12: two budgets are named \"B\"; the other is in line 6");
}

TEST(more_budgets_than_one_request_can_be_held_against_are_told)
{
    char text[8192] = P M K "prices: [usd.yaml]\nbudgets:\n";
    for (unsigned i = 0; i < BUDGET_HOLD_PARTS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "  - {name: B%u, for: {%s}, limit: 5 USD}\n", i, i % 2 ? "key: app" : "provider: p");
    snprintf(text + strlen(text), sizeof text - strlen(text), "  - {name: other, for: {key: bot}, limit: 5 USD}\n");
    expect_said(text, ""); /* no request is both keys' */
    snprintf(text + strlen(text), sizeof text - strlen(text), "  - {name: one-too-many, for: {seller: maker}, limit: 5 USD}\n");
    expect_said(text, "6:3: one request can be under 17 of these budgets at once; at most 16 are allowed");
}

TEST(budgets_and_the_ledger_arrive_as_they_were_written)
{
    struct config *c = right(P "models: {m: {output_max: 500, deployments: [{provider: p}]}, n: [{provider: p}]}\n" K
                             "prices: [usd.yaml]\ndurability: strict\n"
                             "ledger: {zone: Europe/Paris, period: quarter, spool: 0, spool_path: /other/spool, keep: 400d, origin: acme.example/ledger, checkpoint_every: 7}\n"
                             "budgets:\n  - {name: B1, for: {department: 'le*'}, each: true, limit: 12.5 USD, hard: 120%, warn: [80%, 90%], then: [n]}\n"
                             "  - {name: B2, for: {provider: p}, limit: 1 USD, hard: false, period: day, zone: UTC}\n");
    REQUIRE(c);
    const struct budget *a = &c->catalog->budgets.budgets[0], *b = &c->catalog->budgets.budgets[1];
    EXPECT_EQ(c->catalog->budgets.budgets_n, 2);
    EXPECT_EQ(c->catalog->models[0].output_max, 500);
    EXPECT_EQ(c->catalog->models[1].output_max, MODEL_OUTPUT_MAX);
    EXPECT(a->scope == BUDGET_DEPARTMENT && a->each && a->hard && a->unit == PERIOD_MONTH && a->index == 0 && b->index == 1);
    EXPECT_SPAN(a->who, "le*");
    EXPECT_STR(zone_name(a->zone), "Europe/Paris");
    EXPECT(a->limit == 12 * MONEY_ONE + MONEY_ONE / 2 && strcmp(a->currency, "USD") == 0);
    EXPECT(a->hard_at.num == 6 && a->hard_at.den == 5 && a->warn_at[0].num == 4 && a->warn_at[1].num == 9 && a->warn_at[2].num == 0);
    EXPECT(a->then_models_n == 1);
    EXPECT_STR(a->place, "entente.yaml:8");
    EXPECT(b->scope == BUDGET_PROVIDER && !b->hard && b->unit == PERIOD_DAY);
    EXPECT_STR(zone_name(b->zone), "UTC");
    EXPECT_EQ(c->durability, DURABILITY_STRICT);
    EXPECT(c->ledger.period == PERIOD_QUARTER && c->ledger.spool_bytes == 0 && c->ledger.checkpoint_every == 7);
    EXPECT_EQ(c->ledger.keep_ns, 400 * 86400 * NS_PER_S);
    EXPECT_STR(c->ledger.spool_path, "/other/spool");
    EXPECT_STR(c->ledger.origin, "acme.example/ledger");
    config_free(c);
}

TEST(the_ledgers_values_are_checked)
{
    static const struct row rows[] = {
        {"durability: certain\n", "3:13: \"durability\" must be standard, strict or none, not \"certain\""},
        {"ledger: {zone: Mars}\n", "3:16: this system knows no time zone \"Mars\": write a name such as UTC or Europe/Paris (package tzdata has them)"},
        {"ledger: {keep: 1h}\n", "3:16: \"keep\" must lie between 1d and 36500d, and is \"1h\""},
        {"ledger: {spool: much}\n", "3:17: \"spool\" must be a size such as 64MiB (B, KiB, MiB, GiB), not \"much\""},
        {"ledger: {origin: my ledger}\n", "3:18: \"origin\" must hold neither a space nor a plus sign: write a name such as acme.example/ledger"},
        {"keys: [{name: a, secret: env:KEY_A, department: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]\n",
         "3:49: \"department\" is longer than 47 bytes"},
    };
    expect_rows(rows, COUNT_OF(rows), P M);
}

/* ---- what a right file means ---- */

TEST(defaults_are_those_of_the_page)
{
    struct config *c = right(P M);
    REQUIRE(c);
    EXPECT_EQ(c->listen_n, 1);
    EXPECT_STR(c->listen[0].text, "127.0.0.1:8080");
    EXPECT(c->listen[0].tls == NULL);
    EXPECT_STR(c->data_dir, "entente-data");
    EXPECT(c->workers >= 1);
    EXPECT_EQ(c->log.level, LOG_INFO);
    EXPECT(c->log.exchanges);
    EXPECT_EQ(c->limits.body_bytes, LIMIT_BODY_BYTES);
    EXPECT_EQ(c->timeouts.connect_ns, 5 * NS_PER_S);
    EXPECT_EQ(c->drain_ns, 30 * NS_PER_S);
    EXPECT_EQ(c->catalog->retry.attempts_max, 3);
    EXPECT_EQ(c->catalog->retry.budget_percent, 20);
    EXPECT_EQ(c->catalog->retry.budget_min_per_s, 10);
    EXPECT_EQ(c->catalog->ejection.failures, 5);
    EXPECT_EQ(c->catalog->ejection.max_ns, 300 * NS_PER_S);
    EXPECT_EQ(c->catalog->ejection.ejected_percent_max, 50);
    EXPECT_EQ(c->catalog->providers[0]->idle_timeout_ns, c->timeouts.idle_ns);
    EXPECT_EQ(c->catalog->providers[0]->ask_usage, ASK_USAGE_YES);
    EXPECT_EQ(c->catalog->models[0].deployments[0]->weight, 1);
    EXPECT(!c->catalog->has_admin_key && c->catalog->keys_n == 0);
    config_free(c);
}

TEST(what_is_said_replaces_the_default)
{
    struct config *c = right("workers: 3\ndrain: 1m\nlog: {level: debug, exchanges: false}\nlimits: {body: 1MiB, requests: 7}\n"
                             "timeouts: {first_byte: 90s, total: 10m}\nretry: {attempts: 1}\nejection: {failures: 0, max_percent: 100}\n"
                             "providers:\n  p: {dialect: openai, url: 'https://h/v1', http: 1, ask_usage: false, timeouts: {total: 20m}, connections: 5}\n"
                             "models:\n  m: {select: weighted, deployments: [{provider: p, weight: 0}, {provider: p, model: n, weight: 5}]}\n"
                             "  '*':\n    - provider: p\n");
    REQUIRE(c);
    const struct provider *p = c->catalog->providers[0];
    const struct model *all = catalog_model(c->catalog, SPAN("whatever"));
    EXPECT_EQ(c->workers, 3);
    EXPECT_EQ(c->log.level, LOG_DEBUG);
    EXPECT(!c->log.exchanges);
    EXPECT_EQ(c->limits.requests, 7);
    EXPECT_EQ(c->catalog->retry.attempts_max, 1);
    EXPECT_EQ(c->catalog->retry.budget_percent, 20);
    EXPECT_EQ(c->catalog->ejection.failures, 0);
    EXPECT_EQ(p->first_byte_timeout_ns, 90 * NS_PER_S);
    EXPECT_EQ(p->total_timeout_ns, 1200 * NS_PER_S);
    EXPECT_EQ(p->origin.http, ORIGIN_H1);
    EXPECT_EQ(p->origin.connections_max, 5);
    EXPECT_EQ(p->ask_usage, ASK_USAGE_NO);
    EXPECT_EQ(c->catalog->models[0].select, SELECT_WEIGHTED);
    EXPECT_EQ(c->catalog->models[0].deployments[1]->weight, 5);
    REQUIRE(all);
    EXPECT_EQ(all->deployments[0]->model.n, 0);
    EXPECT_SPAN(deployment_model(all->deployments[0], SPAN("whatever")), "whatever");
    config_free(c);
}

TEST(proxies_come_from_the_environment_unless_the_file_says)
{
    char said[1024];
    const char *text = "providers:\n  a: {dialect: openai, url: 'https://far.example/v1'}\n  b: {dialect: openai, url: 'https://x.direct.example/v1'}\n"
                       "  c: {dialect: openai, url: 'https://far.example/v1', proxy: none}\n"
                       "  d: {dialect: openai, url: 'https://far.example/v1', proxy: env:PROXY_URL}\n"
                       "  e: {dialect: openai, url: 'http://127.0.0.1/v1', proxy: 'http://said:1'}\n"
                       "models: {m: [{provider: a}]}\n";
    struct config *c = parse_in(FILE_NAME, text, &world_with_proxy, said, sizeof said);
    EXPECT_STR(said, "");
    REQUIRE(c);
    struct provider **p = c->catalog->providers;
    EXPECT_STR(p[0]->origin.proxy_host, "env-proxy");
    EXPECT_EQ(p[0]->origin.proxy_port, 8888);
    EXPECT(p[1]->origin.proxy_host == NULL);
    EXPECT(p[2]->origin.proxy_host == NULL);
    EXPECT_STR(p[3]->origin.proxy_host, "proxy");
    EXPECT_STR(p[3]->origin.proxy_authorization, "Basic dXNlcjpjYW5hcnktMw==");
    EXPECT_STR(p[4]->origin.proxy_host, "said");
    config_free(c);
    expect_said("providers: {p: {dialect: openai, url: 'http://h', proxy: 'http://user:canary@h'}}\n" M,
                "1:58: a proxy's user and password must not be written into this file: write env:NAME or file:PATH here");
    expect_said("providers: {p: {dialect: openai, url: 'http://h', proxy: 'socks5://h'}}\n" M,
                "1:58: this proxy cannot be used: only http:// proxies are spoken (they carry https through CONNECT)");
}

TEST(the_simulator_needs_no_file)
{
    const char *const names[] = {"gpt-4o", "gpt-4o-mini"};
    struct config *c = config_for_simulator("127.0.0.1:4010", names, 2);
    EXPECT(c->path == NULL);
    EXPECT_STR(c->listen[0].text, "127.0.0.1:8080");
    EXPECT_STR(c->catalog->providers[0]->name, "sim");
    EXPECT_EQ(c->catalog->providers[0]->origin.port, 4010);
    EXPECT_SPAN(catalog_model(c->catalog, SPAN("gpt-4o"))->name, "gpt-4o");
    EXPECT_SPAN(catalog_model(c->catalog, SPAN("anything"))->name, "*");
    config_free(c);
    config_free(NULL);
}

/* ---- all at once ---- */

TEST(ten_mistakes_are_ten_lines_in_the_order_of_the_file)
{
    expect_said("lisen: 127.0.0.1:8080\n"
                "workers: lots\n"
                "log: {level: loud}\n"
                "providers:\n"
                "  one: {dialect: anthropic, url: 'https://h'}\n"
                "  two: {dialect: openai, url: 'ftp://h', credential: env:UNSET}\n"
                "models:\n"
                "  m: [{provider: on}]\n"
                "keys:\n"
                "  - {name: a, secret: sk-canary}\n"
                "  - {secret: env:KEY_A}\n"
                "agreements: [x]\n",
                "1:1: unknown key \"lisen\" in the config: did you mean \"listen\"?\n"
                "2:10: \"workers\" must be a number from 1 to 256, not \"lots\"\n"
                "3:14: \"level\" must be off, error, warn, info or debug, not \"loud\"\n"
                "5:18: the dialect \"anthropic\" is not in this version; it has: openai, azure-openai\n"
                "6:31: this URL must begin with https:// or http:// (or unix:/path)\n"
                "6:54: the environment variable UNSET is not set\n"
                "8:18: unknown provider \"on\": did you mean \"one\"?\n"
                "10:23: \"secret\" must not be written into this file: put it into an environment variable or a file of its own, "
                "and write env:NAME or file:PATH here, or sha256:HEX as `entente key new` prints it\n"
                "11:5: \"name\" is missing: what logs and records call the key\n"
                "12:13: \"agreements\" is not in this version yet: remove it; the gateway would not keep to it");
}

TEST(more_mistakes_than_anyone_reads_are_counted)
{
    static char text[16384] = P M;
    struct config *c = NULL;
    struct config_errors errors;
    for (int i = 0; i < 150; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "unknown-key-%d: 1\n", i);
    config_errors_init(&errors);
    EXPECT_EQ(config_parse(FILE_NAME, span_str(text), &world, &c, &errors), ERR_SYNTAX);
    EXPECT_EQ(errors.n, LIMIT_CONFIG_ERRORS);
    EXPECT_EQ(errors.left_out, 50);
    EXPECT_EQ(config_parse(FILE_NAME, span_str(text), &world, &c, &errors), ERR_SYNTAX);
    EXPECT(c == NULL);
    config_errors_fini(&errors);
}

TEST(a_file_that_cannot_be_read_is_told)
{
    struct config *c = NULL;
    struct config_errors errors;
    struct arena arena;
    config_errors_init(&errors);
    arena_init(&arena, 256);
    EXPECT_EQ(config_load("/nonexistent/entente.yaml", NULL, &c, &errors), ERR_SYNTAX);
    REQUIRE(errors.n == 1);
    EXPECT_SPAN(config_errors_line(&errors, 0, &arena), "/nonexistent/entente.yaml: cannot be read: No such file or directory");
    arena_fini(&arena);
    config_errors_fini(&errors);
}

/* Cut at every byte, and with every byte changed, a config is refused or accepted, never worse. */
TEST(no_torn_or_scratched_file_does_harm)
{
    static const char whole[] = "listen: [127.0.0.1:1, {address: '[::1]:2'}]\nproviders: {p: &x {dialect: openai, url: \"http://h/v1\", headers: {A: b}}, q: *x}\n"
                                "models:\n  m: {select: weighted, deployments: [{provider: p, weight: 2}]}\n  '*':\n  - provider: q\n"
                                "keys:\n  - name: a\n    secret: env:KEY_A\n    models: ['*']\n";
    char said[16384], text[sizeof whole];
    static const char scratches[] = "\t\0:{}[]&*!|>'\"%@-\xff\n";
    config_free(right(whole));
    for (size_t n = 0; n < sizeof whole; n++) {
        memcpy(text, whole, sizeof whole);
        text[n] = '\0';
        config_free(parse_in(FILE_NAME, text, &world, said, sizeof said));
        for (size_t i = 0; i < sizeof scratches - 1; i++) {
            memcpy(text, whole, sizeof whole);
            text[n] = scratches[i];
            text[sizeof whole - 1] = '\0';
            config_free(parse_in(FILE_NAME, text, &world, said, sizeof said));
        }
    }
}

/* ---- the page ---- */

struct page {
    char *text;
    unsigned keys;
};

static void expect_in_page(void *owner, const struct config_key *key)
{
    struct page *page = owner;
    char row[512];
    snprintf(row, sizeof row, "| `%s` | %s | %s | %s", key->path, key->type, *key->standard ? key->standard : "–", key->doc);
    if (!strstr(page->text, row))
        UNIT_FAIL("docs/config.md lacks this row: %s", row);
    page->keys++;
}

static char *read_page(void)
{
    char path[1024], here[] = __FILE__;
    char *slash = strrchr(here, '/');
    snprintf(path, sizeof path, "%.*s/../../docs/config.md", slash ? (int)(slash - here) : 1, slash ? here : ".");
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 18);
    size_t n = f && text ? fread(text, 1, (1 << 18) - 1, f) : 0;
    if (f)
        fclose(f);
    if (n)
        return text;
    free(text);
    return NULL;
}

TEST(the_example_of_the_page_is_right)
{
    char *text = read_page(), said[4096];
    if (!text)
        SKIP("docs/config.md is not beside this build");
    char *begin = strstr(text, "```yaml\n"), *end = begin ? strstr(begin, "\n```\n") : NULL;
    REQUIRE(begin && end);
    end[1] = '\0';
    struct config *c = parse_in(FILE_NAME, begin + 8, &world, said, sizeof said);
    EXPECT_STR(said, "");
    config_free(c);
    free(text);
}

TEST(the_page_tells_of_every_key_and_of_no_other)
{
    struct page page = {read_page(), 0};
    unsigned rows = 0;
    if (!page.text)
        SKIP("docs/config.md is not beside this build");
    config_each_key(expect_in_page, &page);
    for (const char *at = strstr(page.text, "\n| `"); at; at = strstr(at + 1, "\n| `"))
        rows++;
    EXPECT_EQ(rows, page.keys);
    free(page.text);
}

UNIT_MAIN
