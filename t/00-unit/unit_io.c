/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop, socks and files on the real kernel: loopback, Unix sockets and files in a directory of the test's own. TLS is in
 * unit_tls.c.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/backend.h"
#include "io/disk.h"
#include "io/resolve.h"
#include "pair_rig.h"
#include "unit_directory.h"

/* Timers, tasks, messages. */

struct fired {
    struct loop *l;
    struct timer timer;
    struct fired *victim;
    uint64_t at_ns;
    int times;
    int *order, place;
};

static void on_fired(void *owner)
{
    struct fired *f = owner;
    f->times++;
    f->at_ns = loop_now_ns(f->l);
    if (f->order)
        f->place = ++*f->order;
    if (f->victim)
        timer_clear(&f->victim->timer);
}

static void fired_init(struct fired *f, struct loop *l)
{
    *f = (struct fired){.l = l};
    timer_init(&f->timer, l, on_fired, f);
}

TEST(a_timeout_comes_when_it_should_and_in_order)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct fired f[50];
    int order = 0;
    for (unsigned i = 0; i < COUNT_OF(f); i++) {
        fired_init(&f[i], l);
        f[i].order = &order;
        timer_set_in(&f[i].timer, (1 + (i * 7919) % COUNT_OF(f)) * NS_PER_MS);
    }
    uint64_t start_ns = loop_now_ns(l);
    turn_for(l, 60 * NS_PER_MS);
    for (unsigned i = 0; i < COUNT_OF(f); i++) {
        uint64_t due_ns = (1 + (i * 7919) % COUNT_OF(f)) * NS_PER_MS;
        EXPECT_EQ(f[i].times, 1);
        EXPECT(f[i].at_ns - start_ns >= due_ns);
        EXPECT_EQ(f[i].place, 1 + (i * 7919) % COUNT_OF(f));
    }
    loop_free(l);
}

TEST(a_timeout_pushed_back_does_not_fire_early_and_costs_no_heap_move)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct fired f;
    fired_init(&f, l);
    uint64_t start_ns = loop_now_ns(l);
    timer_set(&f.timer, start_ns + 5 * NS_PER_MS);
    timer_set(&f.timer, start_ns + 30 * NS_PER_MS);
    EXPECT_EQ(f.timer.queued_ns, start_ns + 5 * NS_PER_MS);
    EXPECT_EQ(f.timer.deadline_ns, start_ns + 30 * NS_PER_MS);
    turn_for(l, 15 * NS_PER_MS);
    EXPECT_EQ(f.times, 0);
    EXPECT_EQ(f.timer.queued_ns, start_ns + 30 * NS_PER_MS);
    turn_for(l, 30 * NS_PER_MS);
    EXPECT_EQ(f.times, 1);
    EXPECT(f.at_ns >= start_ns + 30 * NS_PER_MS);
    EXPECT_EQ(loop_timers(l), 0);
    loop_free(l);
}

TEST(a_timeout_brought_forward_fires_at_the_earlier_time)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct fired f;
    fired_init(&f, l);
    timer_set_in(&f.timer, 3600 * NS_PER_S);
    timer_set_in(&f.timer, 2 * NS_PER_MS);
    turn_for(l, 5 * NS_PER_MS);
    EXPECT_EQ(f.times, 1);
    timer_set_in(&f.timer, UINT64_MAX);
    EXPECT_EQ(loop_timers(l), 0);
    loop_free(l);
}

TEST(a_cancelled_timeout_never_fires_even_when_due_in_the_same_turn)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct fired f[2];
    fired_init(&f[0], l);
    fired_init(&f[1], l);
    f[0].victim = &f[1];
    f[1].victim = &f[0];
    timer_set_in(&f[0].timer, NS_PER_MS);
    timer_set_in(&f[1].timer, NS_PER_MS);
    usleep(3000);
    turn_for(l, 5 * NS_PER_MS);
    EXPECT_EQ(f[0].times + f[1].times, 1);
    EXPECT_EQ(loop_timers(l), 0);
    loop_free(l);
}

TEST(many_timers_set_moved_and_cleared_at_random_keep_their_order)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    static struct fired f[1000];
    for (unsigned i = 0; i < COUNT_OF(f); i++)
        fired_init(&f[i], l);
    uint64_t start_ns = loop_now_ns(l);
    for (unsigned i = 0; i < 20000; i++) {
        struct fired *one = &f[loop_random(l) % COUNT_OF(f)];
        if (loop_random(l) % 5 == 0)
            timer_clear(&one->timer);
        else
            timer_set(&one->timer, start_ns + NS_PER_MS + loop_random(l) % (20 * NS_PER_MS));
    }
    static uint64_t due_ns[COUNT_OF(f)];
    for (unsigned i = 0; i < COUNT_OF(f); i++)
        due_ns[i] = f[i].timer.deadline_ns;
    while (loop_timers(l))
        loop_turn(l);
    for (unsigned i = 0; i < COUNT_OF(f); i++) {
        EXPECT_EQ(f[i].times, due_ns[i] != UINT64_MAX);
        EXPECT(!f[i].times || f[i].at_ns >= due_ns[i]);
    }
    loop_free(l);
}

struct ticker {
    struct fired f;
    struct loop *l;
};

static void on_tick(void *owner)
{
    struct ticker *t = owner;
    if (++t->f.times < 100)
        timer_set(&t->f.timer, loop_now_ns(t->l));
}

TEST(a_timer_that_sets_itself_to_now_starves_nobody)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct ticker t = {.l = l};
    timer_init(&t.f.timer, l, on_tick, &t);
    timer_set(&t.f.timer, 0);
    loop_turn(l);
    EXPECT_EQ(t.f.times, 1);
    while (t.f.times < 100)
        loop_turn(l);
    loop_free(l);
}

struct chain {
    struct task task, next;
    struct loop *l;
    int ran, ran_next;
};

static void on_next(void *owner) { ((struct chain *)owner)->ran_next++; }
static void on_task(void *owner)
{
    struct chain *c = owner;
    c->ran++;
    loop_defer(c->l, &c->next);
}

TEST(deferred_work_runs_once_in_the_turn_it_was_asked_for)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct chain c = {.l = l};
    task_init(&c.task, on_task, &c);
    task_init(&c.next, on_next, &c);
    loop_defer(l, &c.task);
    loop_defer(l, &c.task);
    loop_turn(l);
    EXPECT_EQ(c.ran, 1);
    EXPECT_EQ(c.ran_next, 1);
    loop_defer(l, &c.task);
    task_cancel(&c.task);
    task_cancel(&c.task);
    EXPECT_EQ(loop_next_ns(l), UINT64_MAX);
    EXPECT_EQ(c.ran, 1);
    loop_free(l);
}

#define POSTS 20000
struct poster {
    struct loop *l;
    uintptr_t number;
    pthread_t thread;
};
static uintptr_t posted_last[5];
static unsigned posted_total, posted_disorder;

static void on_message(struct loop *l, void *owner, void *m)
{
    struct poster *p = owner;
    posted_disorder += (uintptr_t)m != posted_last[p->number] + 1;
    posted_last[p->number] = (uintptr_t)m;
    if (++posted_total == 4 * POSTS)
        loop_stop(l);
}

static void *post_many(void *argument)
{
    struct poster *p = argument;
    for (uintptr_t i = 1; i <= POSTS; i++)
        CHECK(loop_post(p->l, on_message, p, (void *)i) == ERR_OK);
    return NULL;
}

TEST(no_message_between_threads_is_lost_or_overtakes)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct poster p[4];
    for (unsigned i = 0; i < COUNT_OF(p); i++) {
        p[i] = (struct poster){.l = l, .number = i};
        CHECK(pthread_create(&p[i].thread, NULL, post_many, &p[i]) == 0);
    }
    loop_run(l);
    for (unsigned i = 0; i < COUNT_OF(p); i++)
        pthread_join(p[i].thread, NULL);
    EXPECT_EQ(posted_total, 4 * POSTS);
    EXPECT_EQ(posted_disorder, 0);
    loop_free(l);
}

TEST(random_numbers_differ_between_loops)
{
    struct loop *a = loop_new(io_epoll(), NULL), *b = loop_new(io_epoll(), NULL);
    EXPECT(loop_random(a) != loop_random(b));
    EXPECT(loop_random(a) != loop_random(a));
    loop_free(a);
    loop_free(b);
}

/* Addresses. */

TEST(addresses_read_as_operators_write_them)
{
    static const struct { const char *text; bool right, loopback; } row[] = {
        {"127.0.0.1:8080", true, true},   {"0.0.0.0:80", true, false},      {"[::1]:80", true, true},
        {"[::]:65535", true, false},      {"192.168.1.9:1", true, false},   {"unix:/run/x.sock", true, true},
        {"[::ffff:127.0.0.1]:9", true, true},
        {"127.0.0.1", false, false},      {"127.0.0.1:", false, false},     {":80", false, false},
        {"::1:80", false, false},         {"127.0.0.1:65536", false, false}, {"[::1]", false, false},
        {"unix:", false, false},          {"example.test:80", false, false}, {"", false, false}, {"[]:80", false, false},
    };
    for (unsigned i = 0; i < COUNT_OF(row); i++) {
        struct sock_address a;
        char out[160];
        bool right = sock_address_parse(span_str(row[i].text), &a) == ERR_OK;
        if (right != row[i].right)
            UNIT_FAIL("%s", row[i].text);
        if (!right)
            continue;
        EXPECT_STR(sock_address_text(&a, out, sizeof out).p, row[i].text);
        EXPECT_EQ(sock_address_is_loopback(&a), row[i].loopback);
    }
    struct sock_address a = {0};
    char out[8];
    EXPECT(!sock_address_is_loopback(&a));
    EXPECT_SPAN(sock_address_text(&a, out, sizeof out), "unknown");
    EXPECT(sock_address_parse(SPAN("localhost:80"), &a) == ERR_OK && sock_address_is_loopback(&a));
}

/* Two ends on one loop. */

TEST(bytes_arrive_whole_over_tcp) { echo_over("127.0.0.1:0", NULL, NULL); }

TEST(bytes_arrive_whole_over_a_unix_socket)
{
    char at[300];
    snprintf(at, sizeof at, "unix:%s", in_directory("echo.sock"));
    echo_over(at, NULL, NULL);
    EXPECT(access(at + 5, F_OK) != 0);
}

TEST(bytes_arrive_whole_over_ipv6)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool spoken = fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0;
    close(fd);
    if (!spoken)
        SKIP("no IPv6 here");
    echo_over("[::1]:0", NULL, NULL);
}

TEST(a_read_in_small_pieces_loses_no_byte)
{
    char *body = megabytes(100 * KIB);
    struct pair p = {.server = {.echo = true, .read_most = 7}, .client = {.out = body, .out_bytes = 100 * KIB, .finish = true, .read_most = 13}};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    EXPECT(pair_run(&p));
    EXPECT(p.client.in_used == 100 * KIB && memcmp(p.client.in, body, 100 * KIB) == 0);
    pair_free(&p);
    free(body);
}

TEST(a_client_that_ends_its_half_still_gets_the_answer)
{
    struct pair p = {.server = {.out = "the answer", .out_bytes = 10, .finish = true},
                     .client = {.out = "question", .out_bytes = 8, .finish = true}};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    EXPECT(pair_run(&p));
    EXPECT_EQ(p.client.in_used, 10);
    EXPECT_EQ(p.server.in_used, 8);
    EXPECT(p.client.ended && p.server.ended && (p.server.events & SOCK_HANGUP));
    pair_free(&p);
}

TEST(a_reset_is_not_mistaken_for_a_clean_end)
{
    struct pair p = {.server = {.keep_open = true}, .client = {.keep_open = true}};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    REQUIRE(run_until(p.l, &p.accepted) && run_until(p.l, &p.connected));
    transport_abort(&p.client.t);
    p.client.open = false;
    EXPECT(run_until(p.l, &p.server.broken));
    EXPECT(!p.server.ended);
    pair_free(&p);
}

TEST(a_write_to_a_peer_that_left_is_an_error_and_no_signal)
{
    struct pair p = {.server = {.keep_open = true}, .client = {.keep_open = true, .deaf = true}};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    REQUIRE(run_until(p.l, &p.accepted) && run_until(p.l, &p.connected));
    end_close(&p.server);
    ssize_t n = 0;
    for (int i = 0; i < 1000 && n >= 0; i++) {
        n = transport_writev(&p.client.t, &(struct iovec){(char[]){"x"}, 1}, 1);
        usleep(100);
    }
    EXPECT_EQ(n, -(ssize_t)ERR_IO);
    pair_free(&p);
}

TEST(a_refused_connection_says_so)
{
    struct pair p = {0};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    listener_close(p.listener);
    p.listener = NULL;
    struct sock *s;
    enum err error = sock_connect(p.l, &p.at, &s);
    if (error == ERR_OK) {
        s->owner = &p;
        s->on_ready = pair_connected;
        p.connect_result = ERR_AGAIN;
        for (int i = 0; i < 100 && p.connect_result == ERR_AGAIN; i++)
            turn_for(p.l, NS_PER_MS);
        error = p.connect_result;
        EXPECT_EQ(sock_connect_result(s), ERR_CONNECT);
        if (p.connected)
            end_close(&p.client);
    }
    EXPECT_EQ(error, ERR_CONNECT);
    pair_free(&p);
}

/* Closing inside callbacks. */

static struct sock *couple[2];
static int both_events;

static void close_both(struct sock *s, unsigned events)
{
    both_events++;
    sock_close(couple[0]);
    sock_close(couple[1]);
    couple[0] = couple[1] = NULL;
}

static void accept_both(void *owner, struct sock *s)
{
    couple[couple[0] != NULL] = s;
    s->on_ready = close_both;
}

TEST(a_connection_closed_by_another_ones_event_hears_nothing_more)
{
    struct pair p = {.l = loop_new(io_epoll(), NULL)};
    const char *why;
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), &p.at) == ERR_OK);
    CHECK(sock_listen(p.l, &p.at, accept_both, NULL, &p.listener, &why) == ERR_OK);
    p.at = listener_address(p.listener);
    int fd[2];
    for (int i = 0; i < 2; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(connect(fd[i], (void *)p.at.u.bytes, p.at.bytes) == 0 && write(fd[i], "x", 1) == 1);
    }
    both_events = 0;
    turn_for(p.l, 5 * NS_PER_MS);
    EXPECT_EQ(both_events, 1);
    close(fd[0]);
    close(fd[1]);
    listener_close(p.listener);
    loop_free(p.l);
}

/* Listening. */

static void accept_count(void *owner, struct sock *s)
{
    ++*(int *)owner;
    sock_close(s);
}

static int connect_once(const struct sock_address *at)
{
    int fd = socket(at->u.in.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (void *)(uintptr_t)at->u.bytes, at->bytes) == 0);
    return fd;
}

static void share_between_loops(const char *text)
{
    struct loop *l[2] = {loop_new(io_epoll(), NULL), loop_new(io_epoll(), NULL)};
    struct listener *ln[2] = {0};
    struct sock_address at;
    const char *why = "";
    int accepted[2] = {0};
    CHECK(sock_address_parse(span_str(text), &at) == ERR_OK);
    for (int i = 0; i < 2; i++) {
        if (!EXPECT(sock_listen(l[i], &at, accept_count, &accepted[i], &ln[i], &why) == ERR_OK))
            printf("# %s\n", why);
        at = listener_address(ln[i]);
    }
    for (int i = 0; i < 64; i++)
        close(connect_once(&at));
    for (int i = 0; i < 100; i++)
        turn_for(l[i % 2], NS_PER_MS / 10);
    EXPECT_EQ(accepted[0] + accepted[1], 64);
    EXPECT(at.u.in.family == AF_UNIX || (accepted[0] && accepted[1])); /* a Unix backlog is one queue: whoever comes first */
    for (int i = 0; i < 2; i++) {
        listener_close(ln[i]);
        loop_free(l[i]);
    }
}

TEST(workers_share_a_port) { share_between_loops("127.0.0.1:0"); }
TEST(workers_share_a_unix_socket)
{
    char at[300];
    snprintf(at, sizeof at, "unix:%s", in_directory("shared.sock"));
    share_between_loops(at);
}

/* Another process tries to listen where we do; its answer is the error's sentence. */
static void other_process_listens(const struct sock_address *at, char *ret_why, size_t bytes)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    char text[200];
    struct span address = sock_address_text(at, text, sizeof text);
    pid_t child = fork();
    if (child == 0) {
        char self[16];
        snprintf(self, sizeof self, "%d", ends[1]);
        setenv("UNIT_IO_LISTEN", address.p, 1);
        setenv("UNIT_IO_PIPE", self, 1);
        execl("/proc/self/exe", "unit_io", "never", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], ret_why, bytes - 1);
    ret_why[n > 0 ? n : 0] = 0;
    close(ends[0]);
    waitpid(child, NULL, 0);
}

__attribute__((constructor)) static void listen_for_parent(void)
{
    const char *at = getenv("UNIT_IO_LISTEN"), *why = "";
    if (!at)
        return;
    struct sock_address address;
    struct listener *ln;
    int n = 0;
    struct loop *l = loop_new(io_epoll(), NULL);
    CHECK(sock_address_parse(span_str(at), &address) == ERR_OK);
    bool listens = sock_listen(l, &address, accept_count, &n, &ln, &why) == ERR_OK;
    why = listens ? "it listens" : why;
    if (write(atoi(getenv("UNIT_IO_PIPE")), why, strlen(why)) < 0)
        _exit(2);
    _exit(0);
}

TEST(a_second_gateway_on_one_port_is_an_error)
{
    struct pair p = {0};
    char why[200];
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    struct listener *second;
    const char *none;
    struct loop *worker = loop_new(io_epoll(), NULL);
    REQUIRE(sock_listen(worker, &p.at, pair_accept, &p, &second, &none) == ERR_OK);
    other_process_listens(&p.at, why, sizeof why);
    EXPECT_STR(why, "the port is in use");
    listener_close(second);
    loop_free(worker);
    pair_free(&p);
}

TEST(a_second_gateway_on_one_unix_socket_is_an_error_and_a_stale_file_is_not)
{
    char at[300], why[200];
    snprintf(at, sizeof at, "unix:%s", in_directory("one.sock"));
    struct pair p = {0}, again = {0};
    REQUIRE(pair_listen(&p, at));
    other_process_listens(&p.at, why, sizeof why);
    EXPECT_STR(why, "the socket is in use");
    EXPECT(access(at + 5, F_OK) == 0);
    pair_free(&p);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* leaves its file behind, as a killed process does */
    CHECK(bind(fd, (void *)p.at.u.bytes, p.at.bytes) == 0);
    close(fd);
    EXPECT(access(at + 5, F_OK) == 0);
    if (EXPECT(pair_listen(&again, at)))
        pair_free(&again);
}

TEST(a_file_in_the_way_of_a_unix_socket_is_left_alone)
{
    char at[300];
    snprintf(at, sizeof at, "unix:%s", in_directory("precious"));
    close(open(at + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    struct pair p = {0};
    EXPECT(!pair_listen(&p, at));
    EXPECT(access(at + 5, F_OK) == 0);
}

TEST(a_restart_takes_its_port_at_once)
{
    struct pair p = {.server = {.echo = true}, .client = {.out = "x", .out_bytes = 1, .finish = true}};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    EXPECT(pair_run(&p)); /* leaves a connection in TIME_WAIT */
    char at[64];
    sock_address_text(&p.at, at, sizeof at);
    pair_free(&p);
    struct pair again = {0};
    if (EXPECT(pair_listen(&again, at)))
        pair_free(&again);
}

static struct listener *counting_listener(struct loop *l, int *accepted, struct sock_address *ret_at)
{
    struct listener *ln;
    const char *why;
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), ret_at) == ERR_OK);
    CHECK(sock_listen(l, ret_at, accept_count, accepted, &ln, &why) == ERR_OK);
    *ret_at = listener_address(ln);
    return ln;
}

TEST(a_paused_listener_accepts_nobody_and_loses_nobody)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct sock_address at;
    int accepted = 0;
    struct listener *ln = counting_listener(l, &accepted, &at);
    listener_pause(ln);
    listener_pause(ln);
    int fd = connect_once(&at);
    turn_for(l, 5 * NS_PER_MS);
    EXPECT_EQ(accepted, 0);
    listener_resume(ln);
    turn_for(l, 5 * NS_PER_MS);
    EXPECT_EQ(accepted, 1);
    close(fd);
    listener_close(ln);
    loop_free(l);
}

TEST(without_descriptors_the_gateway_waits_instead_of_spinning)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct sock_address at;
    int accepted = 0;
    struct listener *ln = counting_listener(l, &accepted, &at);
    int fd = connect_once(&at);
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)fd + 1;
    int filler[64], fillers = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    while (fillers < 64 && (filler[fillers] = dup(0)) >= 0)
        fillers++;
    unsigned turns = 0;
    struct fired end;
    fired_init(&end, l);
    timer_set_in(&end.timer, 50 * NS_PER_MS);
    for (; !end.times; turns++)
        loop_turn(l);
    EXPECT_EQ(accepted, 0);
    EXPECT(turns < 10);
    while (fillers)
        close(filler[--fillers]);
    setrlimit(RLIMIT_NOFILE, &before);
    turn_for(l, 150 * NS_PER_MS);
    EXPECT_EQ(accepted, 1);
    close(fd);
    listener_close(ln);
    loop_free(l);
}

/* Names. */

static int resolved;
static void on_resolved(struct resolve *r) { resolved++; }

TEST(numeric_hosts_and_localhost_need_no_name_server)
{
    static const struct { const char *host; unsigned addresses; const char *first; } row[] = {
        {"192.0.2.7", 1, "192.0.2.7:443"}, {"2001:db8::7", 1, "[2001:db8::7]:443"},
        {"localhost", 2, "127.0.0.1:443"}, {"api.LOCALHOST", 2, "127.0.0.1:443"},
    };
    struct loop *l = loop_new(io_epoll(), NULL);
    for (unsigned i = 0; i < COUNT_OF(row); i++) {
        struct resolve r = {.loop = l, .host = row[i].host, .port = 443, .on_done = on_resolved};
        char out[100];
        resolved = 0;
        resolve_start(&r);
        EXPECT_EQ(resolved, 1);
        EXPECT_EQ(r.error, ERR_OK);
        EXPECT_EQ(r.addresses, row[i].addresses);
        EXPECT_STR(sock_address_text(&r.address[0], out, sizeof out).p, row[i].first);
        resolve_cancel(&r);
    }
    loop_free(l);
}

TEST(a_name_that_nobody_answers_for_is_an_error_or_can_be_given_up)
{
    struct loop *l = loop_new(io_epoll(), NULL);
    struct resolve empty = {.loop = l, .host = "", .on_done = on_resolved};
    resolved = 0;
    resolve_start(&empty);
    EXPECT_EQ(resolved, 1);
    EXPECT_EQ(empty.error, ERR_DNS);
    struct resolve r = {.loop = l, .host = "nobody.invalid", .on_done = on_resolved};
    resolved = 0;
    resolve_start(&r);
    resolve_cancel(&r);
    int before = resolved;
    turn_for(l, 20 * NS_PER_MS);
    EXPECT_EQ(resolved, before);
    loop_free(l); /* with a query still open inside c-ares */
}

/* A name server with a few answers: both.test has two addresses of each family, four.test one, silent.test is never answered. */

static int dns_fd = -1;

static size_t dns_answer(uint8_t *reply, size_t n, unsigned type, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t record[] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, (uint8_t)(type == 1 ? 90 : 7), 0, (uint8_t)(type == 1 ? 4 : 16)};
        uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = (uint8_t)(i + 1)}, v4[4] = {192, 0, 2, (uint8_t)(i + 1)};
        memcpy(reply + n, record, sizeof record);
        memcpy(reply + n + sizeof record, type == 1 ? v4 : v6, record[11]);
        n += sizeof record + record[11];
    }
    reply[7] = (uint8_t)count;
    return n;
}

static void *serve_names(void *argument)
{
    for (uint8_t packet[512];;) {
        struct sockaddr_in from;
        socklen_t from_bytes = sizeof from;
        ssize_t n = recvfrom(dns_fd, packet, 300, 0, (struct sockaddr *)&from, &from_bytes);
        if (n < 17)
            return NULL; /* a short packet ends it */
        size_t question = 12 + strlen((char *)packet + 12) + 5;
        const char *name = (char *)packet + 13;
        unsigned type = packet[question - 3];
        size_t reply = question;
        packet[2] = 0x81;
        packet[3] = 0x80;
        memset(packet + 6, 0, 6);
        if (memcmp(name, "silent", 6) == 0)
            continue;
        if (memcmp(name, "both", 4) == 0)
            reply = dns_answer(packet, question, type, 2);
        else if (memcmp(name, "four", 4) == 0)
            reply = dns_answer(packet, question, type, type == 1);
        else
            packet[3] = 0x83; /* no such name */
        CHECK(sendto(dns_fd, packet, reply, 0, (struct sockaddr *)&from, from_bytes) == (ssize_t)reply);
    }
}

static bool resolve_and_wait(struct loop *l, struct resolve *r)
{
    resolved = 0;
    resolve_start(r);
    for (int i = 0; i < 2000 && !resolved; i++)
        turn_for(l, NS_PER_MS);
    return resolved == 1;
}

TEST(names_are_asked_for_both_families_with_their_time_to_live)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_bytes = sizeof at;
    char servers[64], out[64];
    pthread_t thread;
    dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(bind(dns_fd, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(dns_fd, (struct sockaddr *)&at, &at_bytes) == 0);
    CHECK(pthread_create(&thread, NULL, serve_names, NULL) == 0);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(at.sin_port));
    resolve_use_servers(servers);
    struct loop *l = loop_new(io_epoll(), NULL);
    struct resolve both = {.loop = l, .host = "both.test", .port = 443, .on_done = on_resolved};
    EXPECT(resolve_and_wait(l, &both));
    EXPECT_EQ(both.error, ERR_OK);
    EXPECT_EQ(both.addresses, 4);
    EXPECT_EQ(both.ttl_ns, 7 * NS_PER_S);
    static const char *const order[] = {"[2001:db8::1]:443", "192.0.2.1:443", "[2001:db8::2]:443", "192.0.2.2:443"};
    for (unsigned i = 0; i < both.addresses && i < 4; i++)
        EXPECT_STR(sock_address_text(&both.address[i], out, sizeof out).p, order[i]);
    struct resolve four = {.loop = l, .host = "four.test", .port = 80, .on_done = on_resolved};
    EXPECT(resolve_and_wait(l, &four));
    EXPECT(four.error == ERR_OK && four.addresses == 1 && four.ttl_ns == 90 * NS_PER_S);
    struct resolve none = {.loop = l, .host = "none.test", .on_done = on_resolved};
    EXPECT(resolve_and_wait(l, &none));
    EXPECT_EQ(none.error, ERR_DNS);
    struct resolve silent = {.loop = l, .host = "silent.test", .on_done = on_resolved};
    resolve_start(&silent);
    EXPECT(loop_timers(l) > 0); /* it will time out without any packet */
    turn_for(l, 5 * NS_PER_MS);
    resolve_cancel(&silent);
    loop_free(l);
    resolve_use_servers(NULL);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(sendto(fd, "end", 3, 0, (struct sockaddr *)&at, sizeof at) == 3);
    pthread_join(thread, NULL);
    close(fd);
    close(dns_fd);
}

/* Files. */

TEST(what_was_written_at_a_place_is_there_when_the_file_is_opened_again)
{
    const struct disk_world *d = disk_world_system();
    const char *path = in_directory("places");
    char text[8] = "";
    uint64_t size;
    void *f;
    EXPECT_EQ(d->open(d->owner, path, false, &f), ERR_NOT_FOUND);
    REQUIRE(d->open(d->owner, path, true, &f) == ERR_OK);
    EXPECT_EQ(d->reserve(f, 4096), ERR_OK);
    EXPECT_EQ(d->write(f, 4090, SPAN("places")), ERR_OK);
    EXPECT_EQ(d->sync(f), ERR_OK);
    d->close(f);
    REQUIRE(d->open(d->owner, path, false, &f) == ERR_OK);
    EXPECT(d->size(f, &size) == ERR_OK && size == 4096);
    EXPECT(d->read(f, 4090, text, 6) == ERR_OK && strcmp(text, "places") == 0);
    EXPECT_EQ(d->read(f, 4091, text, 6), ERR_DISK); /* all of it, or an error */
    d->close(f);
    struct stat st;
    EXPECT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    EXPECT_EQ(d->open(d->owner, in_directory("no/such/place"), true, &f), ERR_DISK);
    EXPECT_EQ(d->open(d->owner, unit_directory(), true, &f), ERR_DISK);
}

TEST(a_limit_on_file_sizes_is_an_error_and_not_the_end_of_the_process)
{
    const struct disk_world *d = disk_world_system();
    struct rlimit before, small;
    void *f;
    disk_outlive_size_limits();
    REQUIRE(d->open(d->owner, in_directory("full"), true, &f) == ERR_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_EQ(d->write(f, 6, SPAN("beyond the limit")), ERR_DISK);
    EXPECT_EQ(d->reserve(f, 4096), ERR_DISK);
    EXPECT_EQ(d->write(f, 0, SPAN("within")), ERR_OK);
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(d->write(f, 6, SPAN("beyond the limit")), ERR_OK);
    d->close(f);
}

UNIT_MAIN
