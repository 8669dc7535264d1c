/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports: plain bytes, or TLS by OpenSSL over sock_read and sock_writev, so that it runs in a simulated world, too.
 *
 * The complication is a blocked write. OpenSSL wants the very same bytes again, and an owner has no reason to know that. So here
 * OpenSSL is never told that the sock is full: what the sock does not take waits in a backlog of ours, and the owner is told that
 * all but the last byte was written. That owed byte makes it come back when the sock is writable, and by then it is already sent.
 */
#include "io/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"

#define RECORD_BYTES (16u * KIB)
#define GATHER_BYTES (68u * KIB)   /* four records with their heads, in one write */
#define BACKLOG_MAX (256u * KIB)   /* beyond it the peer asks for answers that it does not read */
#define SESSIONS 64u               /* server names whose last session a context remembers */
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"
#define GROUPS "X25519:P-256:P-384"

struct session_slot {
    char *server_name;
    SSL_SESSION *session;
};

struct tls_context {
    SSL_CTX *ctx;
    unsigned references; /* atomic */
    bool offer_h2, verify;
    pthread_mutex_t lock; /* of the two below */
    struct session_slot session[SESSIONS];
    unsigned next_slot;
};

/*
 * Invariants:
 * 1. backlog bytes follow on the wire directly after what the sock took; no application byte is encrypted while there are any.
 * 2. owes: the last application byte that went into OpenSSL was not yet reported to the owner as written.
 * 3. end is set once and OpenSSL is not asked to read afterwards.
 */
struct tls {
    SSL *ssl;
    struct sock *sock;
    struct tls_context *context;
    char *server_name; /* of a client; the key of its session */
    const char *why;
    char *backlog;
    unsigned backlog_at, backlog_end;
    enum { END_NOT_YET, END_CLEAN, END_BROKEN } end;
    bool handshaken;
    bool owes;
    bool gathering;    /* records go to the thread's gather buffer first */
    bool drained;      /* within one call: the sock has nothing more for now */
    bool sock_ended;   /* the sock said 0 */
    bool sock_broken;  /* the sock said an error, or the backlog is full */
    bool shutting;     /* the sock's half is to be closed once the backlog is out */
};

/* One thread writes one transport at a time, so one buffer per thread is enough. */
static _Thread_local char gather[GATHER_BYTES];
static _Thread_local size_t gather_used;
static _Thread_local char scratch[RECORD_BYTES];

/* From OpenSSL to the sock. */

static bool backlog_add(struct tls *t, const char *p, size_t bytes)
{
    if (bytes == 0)
        return true;
    size_t waiting = t->backlog_end - t->backlog_at;
    char *grown = waiting + bytes <= BACKLOG_MAX ? malloc(waiting + bytes) : NULL;
    if (!grown) {
        t->sock_broken = true;
        return false;
    }
    if (waiting)
        memcpy(grown, t->backlog + t->backlog_at, waiting);
    memcpy(grown + waiting, p, bytes);
    free(t->backlog);
    t->backlog = grown;
    t->backlog_at = 0;
    t->backlog_end = (unsigned)(waiting + bytes);
    return true;
}

/* Returns what the sock took: 0 when it is full. */
static size_t sock_take(struct tls *t, const char *p, size_t bytes)
{
    struct iovec part = {(char *)(uintptr_t)p, bytes};
    ssize_t n = t->sock_broken ? -(ssize_t)ERR_IO : sock_writev(t->sock, &part, 1);
    if (n < 0 && n != -(ssize_t)ERR_AGAIN)
        t->sock_broken = true;
    return n > 0 ? (size_t)n : 0;
}

static bool send_or_keep(struct tls *t, const char *p, size_t bytes)
{
    size_t taken = t->backlog ? 0 : sock_take(t, p, bytes);
    return !t->sock_broken && backlog_add(t, p + taken, bytes - taken);
}

static bool gather_flush(struct tls *t)
{
    size_t bytes = gather_used;
    gather_used = 0;
    return bytes == 0 || send_or_keep(t, gather, bytes);
}

static enum err backlog_flush(struct tls *t)
{
    while (t->backlog && !t->sock_broken) {
        size_t taken = sock_take(t, t->backlog + t->backlog_at, t->backlog_end - t->backlog_at);
        if (taken == 0)
            break;
        t->backlog_at += (unsigned)taken;
        if (t->backlog_at == t->backlog_end) {
            free(t->backlog);
            t->backlog = NULL;
            t->backlog_at = t->backlog_end = 0;
        }
    }
    if (t->sock_broken)
        return ERR_IO;
    if (t->backlog)
        return ERR_AGAIN;
    if (t->shutting) {
        t->shutting = false;
        sock_shutdown_write(t->sock);
    }
    return ERR_OK;
}

static int bio_write(BIO *bio, const char *p, int bytes)
{
    struct tls *t = BIO_get_data(bio);
    size_t n = (size_t)bytes;
    BIO_clear_retry_flags(bio);
    if (!t->gathering)
        return send_or_keep(t, p, n) ? bytes : -1;
    if (n > GATHER_BYTES - gather_used && !gather_flush(t))
        return -1;
    if (n > GATHER_BYTES)
        return send_or_keep(t, p, n) ? bytes : -1;
    memcpy(gather + gather_used, p, n);
    gather_used += n;
    return bytes;
}

/* A short read of the sock means that it is drained, so OpenSSL's next question needs no system call. */
static int bio_read(BIO *bio, char *into, int bytes)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (bytes <= 0)
        return 0;
    ssize_t n = t->drained ? -(ssize_t)ERR_AGAIN : sock_read(t->sock, into, (size_t)bytes);
    if (n > 0) {
        t->drained = n < bytes && !t->sock->hangup;
        return (int)n;
    }
    if (n == 0) {
        t->sock_ended = true;
        return 0;
    }
    if (n == -(ssize_t)ERR_AGAIN)
        BIO_set_retry_read(bio);
    else
        t->sock_broken = true;
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tls *t = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return t->sock_ended;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method;

static void bio_method_init(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sock");
    CHECK(bio_method);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static BIO *bio_new(struct tls *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, bio_method_init);
    BIO *bio = BIO_new(bio_method);
    if (!bio)
        return NULL;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}

/* Sessions of clients. What is kept is a copy that no connection holds: OpenSSL spoils the session of a connection that ends without
 * close_notify, as those of many servers do, and nothing but a failed handshake says that it cannot be used again. */

static struct session_slot *session_slot_of(struct tls_context *c, const char *server_name)
{
    for (unsigned i = 0; i < SESSIONS && c->session[i].server_name; i++)
        if (strcmp(c->session[i].server_name, server_name) == 0)
            return &c->session[i];
    return NULL;
}

static struct session_slot *session_slot_new(struct tls_context *c, const char *server_name)
{
    struct session_slot *slot = &c->session[c->next_slot];
    char *name = strdup(server_name);
    if (!name)
        return NULL;
    c->next_slot = (c->next_slot + 1) % SESSIONS;
    free(slot->server_name);
    SSL_SESSION_free(slot->session);
    *slot = (struct session_slot){.server_name = name};
    return slot;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls *t = SSL_get_app_data(ssl);
    struct tls_context *c = t->context;
    if (!t->server_name || !SSL_SESSION_is_resumable(session))
        return 0;
    pthread_mutex_lock(&c->lock);
    struct session_slot *slot = session_slot_of(c, t->server_name);
    if (!slot)
        slot = session_slot_new(c, t->server_name);
    if (slot) {
        SSL_SESSION_free(slot->session);
        slot->session = SSL_SESSION_dup(session); /* NULL without memory: nothing to offer */
    }
    pthread_mutex_unlock(&c->lock);
    return 0; /* the reference stays OpenSSL's */
}

static void session_offer(struct tls *t)
{
    struct tls_context *c = t->context;
    pthread_mutex_lock(&c->lock);
    struct session_slot *slot = session_slot_of(c, t->server_name);
    SSL_SESSION *copy = slot && slot->session ? SSL_SESSION_dup(slot->session) : NULL;
    pthread_mutex_unlock(&c->lock);
    if (copy)
        (void)SSL_set_session(t->ssl, copy); /* takes a reference of its own */
    SSL_SESSION_free(copy);
}

/* After a failed handshake: the next one begins anew. */
static void session_forget(struct tls *t)
{
    struct tls_context *c = t->context;
    pthread_mutex_lock(&c->lock);
    struct session_slot *slot = session_slot_of(c, t->server_name);
    if (slot) {
        SSL_SESSION_free(slot->session);
        slot->session = NULL;
    }
    pthread_mutex_unlock(&c->lock);
}

/* Contexts. */

static const unsigned char ALPN_BOTH[] = "\x02h2\x08http/1.1", ALPN_HTTP1[] = "\x08http/1.1";

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_bytes, const unsigned char *offered, unsigned offered_bytes,
                   void *owner)
{
    const struct tls_context *c = owner;
    const unsigned char *ours = c->offer_h2 ? ALPN_BOTH : ALPN_HTTP1;
    unsigned ours_bytes = (unsigned)(c->offer_h2 ? sizeof ALPN_BOTH : sizeof ALPN_HTTP1) - 1;
    int found = SSL_select_next_proto((unsigned char **)(uintptr_t)ret, ret_bytes, ours, ours_bytes, offered, offered_bytes);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL would ask the terminal. */
static int no_passphrase(char *into, int bytes, int writing, void *owner) { return -1; }

static struct tls_context *context_new(const SSL_METHOD *method)
{
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->references = 1;
    c->ctx = SSL_CTX_new(method);
    if (!c->ctx) {
        free(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    CHECK(SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) == 1);
    CHECK(SSL_CTX_set_cipher_list(c->ctx, CIPHERS_TLS12) == 1);
    CHECK(SSL_CTX_set1_groups_list(c->ctx, GROUPS) == 1);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c->ctx, 1); /* one read of the sock for as many records as have come */
    SSL_CTX_set_default_passwd_cb(c->ctx, no_passphrase);
    return c;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    __atomic_add_fetch(&c->references, 1, __ATOMIC_RELAXED);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || __atomic_sub_fetch(&c->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; i < SESSIONS; i++) {
        free(c->session[i].server_name);
        SSL_SESSION_free(c->session[i].session);
    }
    pthread_mutex_destroy(&c->lock);
    SSL_CTX_free(c->ctx);
    free(c);
}

static bool file_is_readable(const char *path, char why[256])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, 256, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

static bool explain_file(const char *path, const char *what, char why[256])
{
    unsigned long error = ERR_peek_error(); /* the first is the cause; later ones only pass it on */
    int library = ERR_GET_LIB(error), code = ERR_GET_REASON(error);
    const char *reason = ERR_reason_error_string(error);
    if ((library == ERR_LIB_PEM && code == PEM_R_NO_START_LINE) || (library == ERR_LIB_OSSL_DECODER && code == ERR_R_UNSUPPORTED))
        snprintf(why, 256, "%s holds no PEM %s", path, what);
    else if (code == ERR_R_INTERRUPTED_OR_CANCELLED || (library == ERR_LIB_PEM && code == PEM_R_BAD_PASSWORD_READ))
        snprintf(why, 256, "%s is encrypted: a key without a passphrase is needed", path);
    else
        snprintf(why, 256, "%s is not a usable %s: %s", path, what, reason ? reason : "unknown reason");
    ERR_clear_error();
    return false;
}

static bool load_identity(SSL_CTX *ctx, const char *cert_file, const char *key_file, char why[256])
{
    ERR_clear_error();
    if (!cert_file || !key_file) {
        snprintf(why, 256, "a certificate needs its key and a key its certificate: both cert and key must be given");
        return false;
    }
    if (!file_is_readable(cert_file, why) || !file_is_readable(key_file, why))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return explain_file(cert_file, "certificate", why);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        if (ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH)
            return explain_file(key_file, "private key", why);
        ERR_clear_error();
        snprintf(why, 256, "the key in %s does not belong to the certificate in %s", key_file, cert_file);
        return false;
    }
    return true;
}

enum err tls_server_context(const struct tls_server_options *o, struct tls_context **ret, char why[256])
{
    struct tls_context *c = context_new(TLS_server_method());
    if (!c) {
        snprintf(why, 256, "out of memory");
        return ERR_NO_MEMORY;
    }
    if (!load_identity(c->ctx, o->cert_file, o->key_file, why)) {
        tls_context_unref(c);
        return ERR_TLS;
    }
    c->offer_h2 = o->offer_h2;
    /* Stateless tickets only: a server remembers nothing per client. */
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(c->ctx, 1);
    SSL_CTX_set_session_id_context(c->ctx, (const unsigned char *)"entente", 7);
    SSL_CTX_set_options(c->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_alpn_select_cb(c->ctx, on_alpn, c);
    *ret = c;
    return ERR_OK;
}

static bool load_trust(SSL_CTX *ctx, const char *ca_file, char why[256])
{
    ERR_clear_error();
    if (!ca_file) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1)
            return true;
        snprintf(why, 256, "the system's certificate authorities cannot be read");
        return false;
    }
    if (!file_is_readable(ca_file, why))
        return false;
    return SSL_CTX_load_verify_file(ctx, ca_file) == 1 || explain_file(ca_file, "certificate", why);
}

enum err tls_client_context(const struct tls_client_options *o, struct tls_context **ret, char why[256])
{
    struct tls_context *c = context_new(TLS_client_method());
    if (!c) {
        snprintf(why, 256, "out of memory");
        return ERR_NO_MEMORY;
    }
    if ((o->verify && !load_trust(c->ctx, o->ca_file, why)) ||
        ((o->cert_file || o->key_file) && !load_identity(c->ctx, o->cert_file, o->key_file, why))) {
        tls_context_unref(c);
        return ERR_TLS;
    }
    c->verify = o->verify;
    c->offer_h2 = o->offer_h2;
    SSL_CTX_set_verify(c->ctx, o->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
    if (o->offer_h2)
        CHECK(SSL_CTX_set_alpn_protos(c->ctx, ALPN_BOTH, sizeof ALPN_BOTH - 1) == 0);
    else
        CHECK(SSL_CTX_set_alpn_protos(c->ctx, ALPN_HTTP1, sizeof ALPN_HTTP1 - 1) == 0);
    *ret = c;
    return ERR_OK;
}

/* Sessions. */

static void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl); /* and its BIO */
    free(t->server_name);
    free(t->backlog);
    tls_context_unref(t->context);
    free(t);
}

static struct tls *tls_new(struct sock *s, struct tls_context *c)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->sock = s;
    t->context = tls_context_ref(c);
    t->ssl = SSL_new(c->ctx);
    BIO *bio = t->ssl ? bio_new(t) : NULL;
    if (!bio) {
        tls_free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    return t;
}

void transport_init_plain(struct transport *t, struct sock *s) { *t = (struct transport){.sock = s}; }

enum err transport_init_server(struct transport *t, struct sock *s, struct tls_context *c)
{
    *t = (struct transport){.sock = s, .tls = tls_new(s, c)};
    if (!t->tls)
        return ERR_NO_MEMORY;
    SSL_set_accept_state(t->tls->ssl);
    return ERR_OK;
}

/* The name decides both what is asked for (SNI carries names, never addresses) and what the certificate must say. */
static bool expect_peer(struct tls *t, const char *server_name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    X509_VERIFY_PARAM_set_time(param, (time_t)(loop_wall_us(t->sock->loop) / 1000000));
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, server_name) == 1)
        return true;
    ERR_clear_error();
    return SSL_set1_host(t->ssl, server_name) == 1 && SSL_set_tlsext_host_name(t->ssl, server_name) == 1;
}

enum err transport_init_client(struct transport *t, struct sock *s, struct tls_context *c, const char *server_name)
{
    *t = (struct transport){.sock = s, .tls = tls_new(s, c)};
    if (!t->tls)
        return ERR_NO_MEMORY;
    t->tls->server_name = strdup(server_name);
    if (!t->tls->server_name || !expect_peer(t->tls, server_name))
        return ERR_NO_MEMORY;
    SSL_set_connect_state(t->tls->ssl);
    session_offer(t->tls);
    return ERR_OK;
}

/* The handshake. */

static const char *why_of_reason(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNKNOWN_PROTOCOL: return "the peer does not speak TLS here";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return "no common TLS version: 1.2 or 1.3 is needed";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return "no common cipher, or the peer wants a client certificate";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return "the peer does not trust our certificate's authority";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: return "the peer says that our certificate has expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE: return "the peer does not accept our certificate";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return "the peer wants a client certificate";
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: return "no common application protocol";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return "the peer closed the connection without saying so";
    default: return NULL;
    }
}

static const char *why_of_queue(const struct tls *t)
{
    unsigned long error = ERR_peek_error(); /* the cause, as above */
    long verified = SSL_get_verify_result(t->ssl);
    if (t->context->verify && verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    if (t->sock_broken)
        return "the connection was reset";
    const char *why = why_of_reason(ERR_GET_REASON(error));
    if (!why && error)
        why = ERR_reason_error_string(error);
    return why ? why : "the TLS connection failed";
}

/* After any failure of OpenSSL. A lost connection is the sock's story, everything else TLS's. */
static enum err tls_fail(struct tls *t)
{
    t->end = END_BROKEN;
    t->sock->hangup = true;
    t->why = why_of_queue(t);
    ERR_clear_error();
    return t->sock_ended || t->sock_broken ? ERR_CLOSED : ERR_TLS;
}

enum err transport_handshake(struct transport *transport)
{
    struct tls *t = transport->tls;
    if (!t)
        return ERR_OK;
    if (t->end == END_BROKEN)
        return ERR_TLS;
    if (!t->handshaken) {
        ERR_clear_error();
        t->drained = false;
        int done = SSL_do_handshake(t->ssl);
        if (done != 1 && SSL_get_error(t->ssl, done) != SSL_ERROR_WANT_READ) {
            if (t->server_name)
                session_forget(t);
            return tls_fail(t);
        }
        t->handshaken = done == 1;
    }
    enum err flushed = backlog_flush(t); /* the last flight must be out before the owner waits for an answer */
    if (flushed == ERR_IO)
        return tls_fail(t);
    return t->handshaken ? flushed : ERR_AGAIN;
}

const char *transport_why(const struct transport *t) { return t->tls && t->tls->why ? t->tls->why : "no TLS error"; }
bool transport_is_resumed(const struct transport *t) { return t->tls && SSL_session_reused(t->tls->ssl); }

bool transport_alpn_is_h2(const struct transport *t)
{
    const unsigned char *name = NULL;
    unsigned bytes = 0;
    if (t->tls)
        SSL_get0_alpn_selected(t->tls->ssl, &name, &bytes);
    return span_eq(span_of(name, bytes), SPAN("h2"));
}

struct span transport_tls_version(const struct transport *t) { return t->tls ? span_str(SSL_get_version(t->tls->ssl)) : SPAN(""); }

/* Bytes. */

static ssize_t end_result(const struct tls *t) { return t->end == END_CLEAN ? 0 : -(ssize_t)ERR_IO; }

/* Why OpenSSL gave no bytes: true when only for now. */
static bool read_paused(struct tls *t)
{
    int error = SSL_get_error(t->ssl, 0);
    if (error == SSL_ERROR_WANT_READ)
        return true;
    if (error != SSL_ERROR_ZERO_RETURN) {
        (void)tls_fail(t);
        return false;
    }
    t->end = END_CLEAN;
    t->sock->hangup = true; /* the owner's sign that a short read does not mean drained */
    return false;
}

static ssize_t tls_read(struct tls *t, char *into, size_t bytes)
{
    size_t total = 0;
    if (t->end != END_NOT_YET)
        return end_result(t);
    ERR_clear_error();
    t->drained = false;
    while (total < bytes) {
        size_t n = 0;
        if (SSL_read_ex(t->ssl, into + total, bytes - total, &n) == 1) {
            total += n;
            continue;
        }
        bool paused = read_paused(t);
        if (total == 0)
            return paused ? -(ssize_t)ERR_AGAIN : end_result(t);
        break;
    }
    return (ssize_t)total;
}

struct cursor {
    const struct iovec *part;
    int parts;
    size_t at; /* in *part */
};

static void cursor_skip_empty(struct cursor *c)
{
    while (c->parts > 0 && c->at == c->part->iov_len) {
        c->part++;
        c->parts--;
        c->at = 0;
    }
}

/* The next record's bytes: in place when one part fills it or is the last, else copied together. */
static struct span cursor_take(struct cursor *c, size_t max)
{
    size_t used = 0;
    cursor_skip_empty(c);
    if (c->parts > 0 && (c->part->iov_len - c->at >= max || c->parts == 1)) {
        struct span s = span_to(span_of((char *)c->part->iov_base + c->at, c->part->iov_len - c->at), max);
        c->at += s.n;
        return s;
    }
    for (; c->parts > 0 && used < max; cursor_skip_empty(c)) {
        size_t left = c->part->iov_len - c->at, n = left < max - used ? left : max - used;
        memcpy(scratch + used, (char *)c->part->iov_base + c->at, n);
        used += n;
        c->at += n;
    }
    return span_of(scratch, used);
}

static bool write_records(struct tls *t, struct cursor *c, size_t *total)
{
    while (!t->backlog) {
        struct span record = cursor_take(c, RECORD_BYTES);
        size_t n = 0;
        if (record.n == 0)
            break;
        if (SSL_write_ex(t->ssl, record.p, record.n, &n) != 1 || NEVER(n != record.n))
            return false;
        *total += n;
    }
    return true;
}

static ssize_t tls_writev(struct tls *t, const struct iovec *parts, int n)
{
    struct cursor c = {parts, n, 0};
    size_t total = 0;
    if (t->end == END_BROKEN)
        return -(ssize_t)ERR_IO;
    enum err flushed = backlog_flush(t);
    if (flushed != ERR_OK)
        return -(ssize_t)flushed;
    if (t->owes) {
        total = cursor_take(&c, 1).n;
        t->owes = total == 0;
    }
    ERR_clear_error();
    t->gathering = true;
    bool written = write_records(t, &c, &total);
    t->gathering = false;
    if (!gather_flush(t) || !written) {
        (void)tls_fail(t);
        return -(ssize_t)ERR_IO;
    }
    if (t->backlog && total > 0) {
        t->owes = true;
        total--;
    }
    return total > 0 ? (ssize_t)total : -(ssize_t)ERR_AGAIN;
}

ssize_t transport_read(struct transport *t, void *into, size_t bytes)
{
    if (!t->tls)
        return sock_read(t->sock, into, bytes);
    CHECK(bytes > 0);
    if (t->tls->shutting)
        (void)backlog_flush(t->tls);
    return tls_read(t->tls, into, bytes);
}

ssize_t transport_writev(struct transport *t, const struct iovec *parts, int n)
{
    return t->tls ? tls_writev(t->tls, parts, n) : sock_writev(t->sock, parts, n);
}

/* close_notify, unless the session never began or is beyond talking to. */
static void say_goodbye(struct tls *t)
{
    if (!t->handshaken || t->end == END_BROKEN || t->sock_broken)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

void transport_shutdown_write(struct transport *t)
{
    if (!t->tls) {
        sock_shutdown_write(t->sock);
        return;
    }
    say_goodbye(t->tls);
    t->tls->shutting = true;
    if (backlog_flush(t->tls) == ERR_IO)
        sock_shutdown_write(t->sock);
}

static void forget_tls(struct transport *t)
{
    if (t->tls) /* or OpenSSL marks the session as not to be resumed */
        SSL_set_shutdown(t->tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    tls_free(t->tls);
    t->tls = NULL;
}

void transport_close(struct transport *t)
{
    if (t->tls)
        say_goodbye(t->tls);
    forget_tls(t);
    sock_close(t->sock);
    t->sock = NULL;
}

void transport_abort(struct transport *t)
{
    forget_tls(t);
    sock_abort(t->sock);
    t->sock = NULL;
}
