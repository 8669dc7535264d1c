/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente-verify`: checks proof files, for whoever has a ledger's verifier key and no part of the ledger. Reads nothing but the files it is given
 * and asks nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "verify/show.h"

enum { PROVED = 0, NOT_PROVED = 1, BAD_INPUT = 2 };

static const char usage[] =
    "usage: entente-verify --key KEY|--key-file FILE PROOF…\n"
    "\n"
    "Checks proofs that `entente ledger prove` wrote, and says what each proves. KEY is the verifier key of the ledger, as its operator gave it to you:\n"
    "NAME+HASH+BASE64. \"-\" is standard input.\n"
    "\n"
    "Exit code 0: all proved. 1: a proof does not hold. 2: a file is no proof, cannot be read, or the arguments are wrong.\n";

struct arguments {
    const char *key, *key_file;
    char **files;
    int files_n;
};

static int complain(const char *about, const char *sentence)
{
    fprintf(stderr, "entente-verify: %s: %s\n", about, sentence);
    return BAD_INPUT;
}

/* The whole file, up to one byte more than a proof may have. */
static bool read_all(FILE *f, struct buf *out)
{
    size_t n;
    do {
        if (buf_reserve(out, 64u * 1024u) != ERR_OK)
            return false;
        n = fread(buf_tail(out), 1, 64u * 1024u, f);
        buf_extend(out, n);
    } while (n > 0 && buf_bytes(out) <= PROOF_FILE_BYTES_MAX);
    return !ferror(f);
}

static bool read_file(const char *path, struct buf *out)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *f = is_input ? stdin : fopen(path, "re");
    bool good = f && read_all(f, out);
    if (!good)
        complain(path, strerror(errno));
    if (f && !is_input)
        fclose(f);
    return good;
}

/* ---- the key ---- */

static bool read_key(const struct arguments *a, struct verifier *ret)
{
    struct buf text;
    buf_init(&text, PROOF_FILE_BYTES_MAX + 128u * 1024u);
    bool good = !a->key_file || read_file(a->key_file, &text);
    struct span key = a->key_file ? buf_span(&text) : span_str(a->key);
    bool is_secret = span_starts(key, SPAN("PRIVATE+KEY+"));
    if (good && verifier_parse(key, ret) != ERR_OK) {
        complain(a->key_file ? a->key_file : "--key", is_secret ? "this is the secret key; a verifier key is wanted, which begins with the ledger's name"
                                                                : "this is no verifier key: NAME+HASH+BASE64, whole and unchanged");
        good = false;
    }
    buf_fini(&text);
    return good;
}

/* ---- one file ---- */

static int tell(const char *path, enum err e, const struct buf *lines, const char *why)
{
    if (e == ERR_SYNTAX)
        return complain(path, why);
    printf("%s: %s\n", path, e ? "NOT PROVED" : "proved");
    if (buf_bytes(lines))
        printf("%.*s", SPAN_ARG(buf_span(lines)));
    if (!e)
        return PROVED;
    fflush(stdout);
    fprintf(stderr, "entente-verify: %s: %s\n", path, why);
    return NOT_PROVED;
}

static int check(const char *path, const struct verifier *v)
{
    struct buf file, lines;
    struct arena arena;
    struct proof proof;
    char why[PROOF_WHY_BYTES] = "";
    buf_init(&file, PROOF_FILE_BYTES_MAX + 128u * 1024u);
    buf_init(&lines, SHOW_BYTES_MAX);
    arena_init(&arena, 4096);
    int code = BAD_INPUT;
    if (read_file(path, &file)) {
        enum err e = proof_open(buf_span(&file), v, &arena, &proof, why);
        e = e ? e : show_proof(&proof, &lines, why);
        code = tell(path, e, &lines, why);
    }
    arena_fini(&arena);
    buf_fini(&lines);
    buf_fini(&file);
    return code;
}

/* ---- arguments ---- */

/* Takes `--name VALUE` or `--name=VALUE` at *at. */
static bool take_option(int argc, char **argv, int *at, const char *name, const char **ret)
{
    size_t n = strlen(name);
    if (strncmp(argv[*at], name, n) != 0 || (argv[*at][n] && argv[*at][n] != '='))
        return false;
    *ret = argv[*at][n] ? argv[*at] + n + 1 : *at + 1 < argc ? argv[++*at] : "";
    return true;
}

/* Files are moved to the front of argv. */
static bool read_arguments(int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){.files = argv};
    for (int i = 1; i < argc; i++) {
        if (take_option(argc, argv, &i, "--key-file", &a->key_file) || take_option(argc, argv, &i, "--key", &a->key))
            continue;
        if (argv[i][0] == '-' && argv[i][1]) {
            complain(argv[i], "there is no such option");
            return false;
        }
        argv[a->files_n++] = argv[i];
    }
    if (!a->key == !a->key_file)
        complain("--key", a->key ? "either this or --key-file" : "which ledger's? --key KEY or --key-file FILE is needed");
    else if (a->files_n == 0)
        complain("no file", "name the proofs to check");
    return !a->key != !a->key_file && a->files_n > 0;
}

static bool is_asked(int argc, char **argv, const char *option) { return argc == 2 && strcmp(argv[1], option) == 0; }

int main(int argc, char **argv)
{
    struct arguments a;
    struct verifier v;
    int worst = PROVED;
    if (is_asked(argc, argv, "--help") || is_asked(argc, argv, "-h"))
        return fputs(usage, stdout) < 0 ? BAD_INPUT : PROVED;
    if (is_asked(argc, argv, "--version"))
        return printf("entente-verify %s\n", ENTENTE_VERSION) < 0 ? BAD_INPUT : PROVED;
    if (!read_arguments(argc, argv, &a)) {
        fprintf(stderr, "%.*s\n", (int)strcspn(usage, "\n"), usage);
        return BAD_INPUT;
    }
    if (!read_key(&a, &v))
        return BAD_INPUT;
    for (int i = 0; i < a.files_n; i++) {
        int code = check(a.files[i], &v);
        worst = code > worst ? code : worst;
    }
    return fflush(stdout) == 0 ? worst : BAD_INPUT;
}
