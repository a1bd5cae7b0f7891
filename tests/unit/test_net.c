/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over loopback, from a socket's side and from our client's. */
#include "base/clock.h"
#include "base/memory.h"
#include "net/certificate.h"
#include "net/http_client.h"
#include "net/http_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define KEPT_MAX 256

/* ---- a server with a handler for each thing to be seen ---- */

struct fixture {
    struct http_server *server;
    struct certificate *certificate;
    char folder[64];
    int port, tls_port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_request *kept[KEPT_MAX];
    size_t kept_count;
    struct http_stream *stream;
    atomic_int gone, closed, ticks, jobs;
    atomic_ullong sunk;
};

static void gone(void *context, struct http_request *r)
{
    struct fixture *f = context;
    (void)r;
    pthread_mutex_lock(&f->lock);
    f->gone++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void stream_closed(void *context, struct http_stream *s)
{
    struct fixture *f = context;
    (void)s;
    pthread_mutex_lock(&f->lock);
    f->closed++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void keep(struct fixture *f, struct http_request *r)
{
    http_request_on_gone(r, gone, f);
    pthread_mutex_lock(&f->lock);
    assert_true(f->kept_count < KEPT_MAX);
    f->kept[f->kept_count++] = r;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void begin_stream(struct fixture *f, struct http_request *r)
{
    struct http_response head = {
        .status = 200, .content_type = STR("text/event-stream"), .body = STR("hello\n")};
    struct http_stream_options options = {
        .limit = 256 * 1024, .closed = stream_closed, .context = f};
    struct http_stream *s = http_stream_begin(r, &head, &options);
    pthread_mutex_lock(&f->lock);
    f->stream = s;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void respond_big(struct http_request *r)
{
    int64_t size = 0;
    str_to_i64(http_request_query(r, "size"), &size);
    struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    memset(buf_reserve(&body, (size_t)size), 'x', (size_t)size);
    body.size = (size_t)size;
    http_respond_text(r, 200, "text/plain", buf_str(&body));
    buf_fini(&body);
}

static void respond_file(struct http_request *r)
{
    char path[] = "/tmp/net-file-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, 3000000), 0);
    unlink(path);
    http_respond_file(r, &(struct http_response){.status = 200}, fd, 3000000);
}

static void describe(struct http_request *r)
{
    struct buf out = BUF_INIT(65536);
    buf_printf(&out, "%s", http_method_name(r->method));
    for (size_t i = 0; i < r->segment_count; i++)
        buf_printf(&out, " [%.*s]", STR_ARGS(r->segments[i]));
    for (size_t i = 0; i < r->query_count; i++)
        buf_printf(&out, " %.*s=%.*s", STR_ARGS(r->query[i].name), STR_ARGS(r->query[i].value));
    buf_printf(&out, " %s cookie=%.*s body=%.*s", r->peer, STR_ARGS(http_request_cookie(r, "sid")),
               STR_ARGS(r->body));
    struct http_pair more = {STR("X-Size"), STR("7")};
    http_respond(r, &(struct http_response){.status = 201,
                                            .content_type = STR("text/plain"),
                                            .body = buf_str(&out),
                                            .headers = &more,
                                            .header_count = 1});
    buf_fini(&out);
}

static void handle(void *context, struct http_request *r)
{
    struct fixture *f = context;
    struct str what = r->segment_count ? r->segments[0] : STR("");
    char size[32];
    if (str_is(what, "keep"))
        keep(f, r);
    else if (str_is(what, "stream"))
        begin_stream(f, r);
    else if (str_is(what, "big"))
        respond_big(r);
    else if (str_is(what, "file"))
        respond_file(r);
    else if (str_is(what, "describe"))
        describe(r);
    else if (str_is(what, "close"))
        http_respond(r, &(struct http_response){.status = 200, .body = STR("bye"), .close = true});
    else if (str_is(what, "sink")) {
        snprintf(size, sizeof size, "%llu", (unsigned long long)r->body_size);
        http_respond_text(r, 200, "text/plain", str_from(size));
    } else
        http_respond_text(r, 200, "text/plain", r->body.size ? r->body : STR("empty"));
}

static int sink(void *context, struct http_request *r, struct str piece)
{
    struct fixture *f = context;
    f->sunk += piece.size;
    return str_is(http_request_query(r, "fail"), "1") ? -EIO : 0;
}

static void admit(void *context, struct http_request *r)
{
    struct str what = r->segment_count ? r->segments[0] : STR("");
    if (str_is(what, "sink")) {
        http_request_allow(r, (uint64_t)1 << 30);
        http_request_sink(r, sink, context);
        http_request_on_gone(r, gone, context);
    } else if (str_is(what, "forbidden")) {
        http_respond_text(r, 403, "text/plain", STR("no"));
    }
}

static void tick(void *context)
{
    ((struct fixture *)context)->ticks++;
}

static void *run(void *context)
{
    http_server_run(((struct fixture *)context)->server);
    return NULL;
}

static void make_certificate(struct fixture *f)
{
    char certificate[128], key[128];
    const char *names[] = {"localhost", "127.0.0.1", "::1"};
    struct error err = {0};
    snprintf(f->folder, sizeof f->folder, "/tmp/net-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(certificate, sizeof certificate, "%s/certificate.pem", f->folder);
    snprintf(key, sizeof key, "%s/key.pem", f->folder);
    if (certificate_make(certificate, key, names, 3, &err) ||
        certificate_load(&f->certificate, certificate, key, &err))
        fail_msg("%s", err.text);
    struct stat status;
    assert_int_equal(stat(key, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static int set_up_with(void **state, int timeout_ms)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    make_certificate(f);
    struct http_server_options options = {.handler = handle,
                                          .admit = admit,
                                          .context = f,
                                          .body_limit = 100000,
                                          .head_limit = 4096,
                                          .connection_limit = 64,
                                          .head_timeout_ms = timeout_ms,
                                          .idle_timeout_ms = timeout_ms,
                                          .stall_timeout_ms = timeout_ms};
    struct error err = {0};
    if (http_server_new(&f->server, &options, &err) ||
        http_server_listen(f->server, &(struct http_listen){.address = "127.0.0.1"}, &f->port,
                           &err) ||
        http_server_listen(
            f->server, &(struct http_listen){.address = "127.0.0.1", .certificate = f->certificate},
            &f->tls_port, &err))
        fail_msg("%s", err.text);
    http_server_timer(f->server, 1000, tick, f);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, 4 * PATIENCE_MS);
}

static int set_up_hasty(void **state)
{
    return set_up_with(state, 300);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char path[128];
    http_server_stop(f->server);
    pthread_join(f->thread, NULL);
    assert_int_equal(http_server_stats(f->server).connections, 0);
    http_server_free(f->server);
    certificate_free(f->certificate);
    snprintf(path, sizeof path, "%s/certificate.pem", f->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/key.pem", f->folder);
    unlink(path);
    assert_int_equal(rmdir(f->folder), 0);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    xfree(f);
    return 0;
}

/* Until *what reaches `least`. */
static void wait_for(struct fixture *f, const atomic_int *what, int least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&f->lock);
    while (*what < least)
        assert_int_equal(pthread_cond_timedwait(&f->changed, &f->lock, &until), 0);
    pthread_mutex_unlock(&f->lock);
}

static struct http_stream *take_stream(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    while (f->stream == NULL)
        pthread_cond_wait(&f->changed, &f->lock);
    struct http_stream *s = TAKE(f->stream);
    pthread_mutex_unlock(&f->lock);
    return s;
}

static void wait_kept(struct fixture *f, size_t count)
{
    pthread_mutex_lock(&f->lock);
    while (f->kept_count < count)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

/* All that are kept, with one wake-up. */
static void answer_kept(struct fixture *f)
{
    struct http_batch group = {0};
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->kept_count; i++)
        http_batch_add(&group, f->kept[i],
                       &(struct http_response){.status = 200, .body = f->kept[i]->body});
    f->kept_count = 0;
    pthread_mutex_unlock(&f->lock);
    http_batch_send(&group);
}

/* ---- a client that sends what it likes ---- */

static int raw_open(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* false: cut off, and what is read tells why. */
static bool raw_send(int fd, const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        text += sent, size -= (size_t)sent;
    }
    return true;
}

/* Reads on until `needle` was there `times` times, or the end where needle is NULL. */
static void raw_read(int fd, struct buf *in, const char *needle, int times)
{
    if (in->limit == 0)
        in->limit = BUF_LIMIT_DEFAULT;
    while (true) {
        int seen = 0;
        for (const char *at = buf_text(in); needle && (at = strstr(at, needle)) != NULL; at++)
            seen++;
        if (needle && seen >= times)
            return;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, PATIENCE_MS) != 1)
            fail_msg("no more after: %s", buf_text(in));
        char piece[4096];
        ssize_t size = recv(fd, piece, sizeof piece, 0);
        if (size <= 0 && needle)
            fail_msg("ended after: %s", buf_text(in));
        if (size <= 0)
            return;
        buf_append(in, piece, (size_t)size);
    }
}

/* Sends and reads to the end. */
static void raw_exchange(int port, const char *text, struct buf *in)
{
    int fd = raw_open(port);
    raw_send(fd, text);
    raw_read(fd, in, NULL, 0);
    close(fd);
}

static void assert_starts(const struct buf *in, const char *start)
{
    if (!str_starts(buf_str(in), str_from(start)))
        fail_msg("expected %s, got %.300s", start, buf_text(in));
}

static void assert_holds(const struct buf *in, const char *part)
{
    if (strstr(buf_text(in), part) == NULL)
        fail_msg("expected %s, got %.600s", part, buf_text(in));
}

/* ---- requests and answers ---- */

static void test_request_is_decoded(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    raw_exchange(
        f->port,
        "POST /describe/a%2Fb?x=1+2&y=%26&z HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
        "Cookie: a=b; sid=42\r\nContent-Length: 5\r\n\r\nhello",
        &in);
    assert_starts(&in, "HTTP/1.1 201 Created\r\nDate: ");
    assert_holds(&in, " GMT\r\n");
    assert_holds(&in, "X-Size: 7\r\n");
    assert_holds(&in, "Connection: close\r\n");
    assert_holds(&in, "\r\n\r\nPOST [describe] [a/b] x=1 2 y=& z= 127.0.0.1 cookie=42 body=hello");
}

static void test_requests_in_one_piece_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    raw_exchange(f->port,
                 "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
                 "GET /big?size=5 HTTP/1.1\r\nHost: h\r\n\r\n\r\n"
                 "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n2\r\nth\r\n3;x=y\r\nree\r\n0\r\nT: v\r\n\r\n"
                 "GET /close HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
                 &in);
    const char *one = strstr(buf_text(&in), "\r\n\r\none"),
               *two = strstr(buf_text(&in), "\r\n\r\nxxxxx");
    const char *three = strstr(buf_text(&in), "\r\n\r\nthree"),
               *bye = strstr(buf_text(&in), "\r\n\r\nbye");
    assert_true(one && two > one && three > two && bye > three);
    assert_string_equal(bye + 4, "bye");
}

static void test_request_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    const char *text =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nend";
    int fd = raw_open(f->port);
    for (; *text; text++)
        raw_send(fd, (char[]){*text, '\0'});
    raw_read(fd, &in, "end", 1);
    assert_holds(&in, "\r\n\r\nhello");
    close(fd);
}

static void test_head_has_the_length_alone(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    raw_exchange(f->port, "HEAD /big?size=77 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                 &in);
    assert_holds(&in, "Content-Length: 77\r\n");
    assert_string_equal(strstr(buf_text(&in), "\r\n\r\n"), "\r\n\r\n");
}

static void test_malformed_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *request, *status;
    } cases[] = {
        {"nonsense\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\nHost: h\n\r\n\r\n", "400"},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505"},
        {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501"},
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET x HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET /%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n",
         "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nExpect: rain\r\nContent-Length: 1\r\n\r\na", "417"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n", "413"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        _cleanup_buf_ struct buf in = {0};
        char expected[64];
        snprintf(expected, sizeof expected, "HTTP/1.1 %s ", cases[i].status);
        raw_exchange(f->port, cases[i].request, &in);
        assert_starts(&in, expected);
        assert_holds(&in, "{\"error\":{\"code\":\"");
    }
    assert_int_equal(http_server_stats(f->server).requests, 0);
    assert_int_equal(http_server_stats(f->server).refused, ARRAY_COUNT(cases));
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 24), in = {0}, other = {0}, third = {0};
    buf_append_text(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    for (int i = 0; i < 5000; i++)
        buf_append_byte(&text, 'x');
    raw_exchange(f->port, buf_text(&text), &in);
    assert_starts(&in, "HTTP/1.1 431 ");

    buf_clear(&text);
    buf_append_text(&text, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 70; i++)
        buf_append_text(&text, "a: b\r\n");
    buf_append_text(&text, "\r\n");
    raw_exchange(f->port, buf_text(&text), &other);
    assert_starts(&other, "HTTP/1.1 431 ");

    /* past the limit in pieces: what comes after is eaten, so that the client gets to read why */
    buf_clear(&text);
    buf_append_text(&text, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10000; i++)
        buf_printf(&text, "3e8\r\n%01000d\r\n", i);
    int fd = raw_open(f->port);
    assert_true(raw_send(fd, buf_text(&text)));
    shutdown(fd, SHUT_WR);
    raw_read(fd, &third, NULL, 0);
    close(fd);
    assert_starts(&third, "HTTP/1.1 413 ");
}

static void test_expectation_is_met(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0}, other = {0};
    int fd = raw_open(f->port);
    raw_send(fd, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    raw_read(fd, &in, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    raw_send(fd, "body");
    raw_read(fd, &in, "\r\n\r\nbody", 1);
    close(fd);
    raw_exchange(
        f->port,
        "POST /forbidden HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        &other);
    assert_starts(&other, "HTTP/1.1 403 ");
    assert_holds(&other, "Connection: close\r\n");
}

static void test_slow_clients_are_cut_off(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf none = {0}, head = {0}, body = {0};
    raw_exchange(f->port, "", &none);
    raw_exchange(f->tls_port, "", &none);
    assert_int_equal(none.size, 0);
    raw_exchange(f->port, "GET / HTT", &head);
    assert_starts(&head, "HTTP/1.1 408 ");
    raw_exchange(f->port, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfour", &body);
    assert_starts(&body, "HTTP/1.1 408 ");

    /* one that has had its answer and says no more */
    _cleanup_buf_ struct buf idle = {0};
    raw_exchange(f->port, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &idle);
    assert_starts(&idle, "HTTP/1.1 200 ");
    assert_null(strstr(buf_text(&idle), "408"));

    /* one that does not read its answer */
    int fd = raw_open(f->port);
    raw_send(fd, "GET /big?size=50000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    time_ms until = clock_monotonic_ms() + PATIENCE_MS;
    while (http_server_stats(f->server).connections > 0 ||
           http_server_stats(f->server).requests == 0)
        assert_true(clock_monotonic_ms() < until && usleep(1000) == 0);
    close(fd);
}

static void test_too_many_connections(void **state)
{
    struct fixture *f = *state;
    int fds[64];
    _cleanup_buf_ struct buf in = {0};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        _cleanup_buf_ struct buf one = {0};
        fds[i] = raw_open(f->port);
        raw_send(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        raw_read(fds[i], &one, "empty", 1);
    }
    raw_exchange(f->port, "", &in);
    assert_starts(&in, "HTTP/1.1 503 ");
    assert_string_equal(buf_text(&in) + in.size - 2, "}\n");
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        close(fds[i]);
}

static void test_large_answers(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0}, file = {0};
    raw_exchange(f->port, "GET /big?size=20000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                 &in);
    assert_true(in.size > 20000000 && in.size < 20000500);
    raw_exchange(f->port, "GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &file);
    assert_true(file.size > 3000000 && file.size < 3000500);
}

static void test_body_goes_to_its_sink(void **state)
{
    struct fixture *f = *state;
    struct http_client *client;
    struct http_reply reply = {0};
    char path[] = "/tmp/net-body-XXXXXX", server[64];
    int fd = mkstemp(path);
    unlink(path);
    assert_int_equal(ftruncate(fd, 5000000), 0);
    snprintf(server, sizeof server, "http://127.0.0.1:%d", f->port);
    assert_int_equal(
        http_client_new(&client, &(struct http_client_options){.server = server}, NULL), 0);
    struct http_call call = {
        .method = "PUT", .path = "/sink", .body_file = fd, .body_file_size = 5000000};
    assert_int_equal(http_client_call(client, &call, &reply, NULL), 0);
    assert_string_equal(buf_text(&reply.body), "5000000");
    assert_int_equal(f->sunk, 5000000);
    call.path = "/sink?fail=1";
    assert_int_equal(http_client_call(client, &call, &reply, NULL), 0);
    assert_int_equal(reply.status, 500);
    wait_for(f, &f->gone, 1);
    http_reply_fini(&reply);
    http_client_free(client);
    close(fd);

    int raw = raw_open(f->port);
    raw_send(raw, "PUT /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfour");
    close(raw);
    wait_for(f, &f->gone, 2);
}

static void test_client_leaves_in_the_middle_of_a_file(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        _cleanup_buf_ struct buf in = {0};
        int fd = raw_open(f->port);
        raw_send(fd, "GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
        raw_read(fd, &in, "HTTP/1.1 200", 1);
        close(fd);
    }
    time_ms until = clock_monotonic_ms() + PATIENCE_MS;
    while (http_server_stats(f->server).connections > 0)
        assert_true(clock_monotonic_ms() < until && usleep(1000) == 0);
}

/* ---- kept requests ---- */

static void test_kept_requests_are_answered_in_a_group(void **state)
{
    struct fixture *f = *state;
    int fds[32];
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = raw_open(f->port);
        raw_send(fds[i], "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    }
    wait_kept(f, ARRAY_COUNT(fds));
    assert_int_equal(http_server_stats(f->server).kept, ARRAY_COUNT(fds));
    answer_kept(f);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        _cleanup_buf_ struct buf in = {0};
        raw_read(fds[i], &in, "\r\n\r\nabc", 1);
        close(fds[i]);
    }
}

static void test_answers_wake_the_loop(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    int fd = raw_open(f->port);
    time_ms begin = clock_monotonic_ms();
    for (int i = 1; i <= 200; i++) {
        raw_send(fd, "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        wait_kept(f, 1);
        answer_kept(f);
        raw_read(fd, &in, "\r\n\r\nabc", i);
    }
    /* else each waits for the loop to look at its deadlines, up to 500 ms */
    assert_true(clock_monotonic_ms() - begin < 20000);
    close(fd);
}

static void test_client_of_a_kept_request_leaves(void **state)
{
    struct fixture *f = *state;
    int fd = raw_open(f->port), half = raw_open(f->port);
    raw_send(fd, "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    wait_kept(f, 1);
    close(fd);
    wait_for(f, &f->gone, 1);
    /* one that only says that it will send no more still gets its answer */
    _cleanup_buf_ struct buf in = {0};
    raw_send(half, "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    wait_kept(f, 2);
    shutdown(half, SHUT_WR);
    wait_for(f, &f->gone, 2);
    answer_kept(f);
    raw_read(half, &in, NULL, 0);
    assert_holds(&in, "\r\n\r\nabc");
    close(half);
}

static void test_requests_behind_a_kept_one_wait(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0}, text = BUF_INIT(1 << 20);
    buf_append_text(&text, "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfirst");
    for (int i = 0; i < 500; i++)
        buf_append_text(&text, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nafter");
    int fd = raw_open(f->port);
    raw_send(fd, buf_text(&text));
    wait_kept(f, 1);
    answer_kept(f);
    raw_read(fd, &in, "after", 500);
    assert_true(strstr(buf_text(&in), "first") < strstr(buf_text(&in), "after"));
    close(fd);
}

static void test_kept_requests_outlive_the_loop(void **state)
{
    struct fixture *f = *state;
    int fd = raw_open(f->port);
    raw_send(fd, "POST /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    wait_kept(f, 1);
    http_server_stop(f->server);
    wait_for(f, &f->gone, 1);
    answer_kept(f);
    close(fd);
}

/* ---- streams ---- */

static void test_stream(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    int fd = raw_open(f->port);
    raw_send(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_stream *s = take_stream(f);
    raw_read(fd, &in, "6\r\nhello\n\r\n", 1);
    assert_int_equal(http_stream_write(s, STR("one\n")), 0);
    raw_read(fd, &in, "4\r\none\n\r\n", 1);
    struct http_batch group = {0};
    assert_int_equal(http_batch_write(&group, s, STR("two\n")), 0);
    assert_int_equal(http_batch_write(&group, s, STR("three\n")), 0);
    http_batch_send(&group);
    http_stream_end(s);
    raw_read(fd, &in, "4\r\ntwo\n\r\n6\r\nthree\n\r\n0\r\n\r\n", 1);
    raw_send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); /* the connection lives on */
    raw_read(fd, &in, "empty", 1);
    close(fd);
    assert_int_equal(f->closed, 0);
}

static void test_stream_to_an_old_client(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf in = {0};
    int fd = raw_open(f->port);
    raw_send(fd, "GET /stream HTTP/1.0\r\nHost: h\r\n\r\n");
    struct http_stream *s = take_stream(f);
    http_stream_end(s);
    raw_read(fd, &in, NULL, 0);
    assert_holds(&in, "\r\n\r\nhello\n");
    assert_true(strstr(buf_text(&in), "chunked") == NULL);
    close(fd);
}

static void test_reader_of_a_stream_leaves(void **state)
{
    struct fixture *f = *state;
    int fd = raw_open(f->port);
    raw_send(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_stream *s = take_stream(f);
    close(fd);
    wait_for(f, &f->closed, 1);
    assert_int_equal(http_stream_write(s, STR("x")), -EPIPE);
    http_stream_end(s);
}

static void test_reader_that_does_not_read_is_cut_off(void **state)
{
    struct fixture *f = *state;
    int fd = raw_open(f->port), rc = 0;
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    raw_send(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_stream *s = take_stream(f);
    for (int i = 0; i < 100000 && rc == 0; i++) {
        rc = http_stream_write(s, (struct str){piece, sizeof piece});
        assert_true(http_stream_waiting(s) <= 256 * 1024);
    }
    assert_true(rc == -ENOBUFS || rc == -EPIPE);
    wait_for(f, &f->closed, 1);
    http_stream_end(s);
    assert_int_equal(f->closed, 1);
    close(fd);
}

static void test_reader_leaves_an_ended_stream(void **state)
{
    struct fixture *f = *state;
    int fd = raw_open(f->port);
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    raw_send(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_stream *s = take_stream(f);
    while (http_stream_waiting(s) < 100000)
        assert_int_equal(http_stream_write(s, (struct str){piece, sizeof piece}), 0);
    http_stream_end(s);
    close(fd);
    time_ms until = clock_monotonic_ms() + PATIENCE_MS;
    while (http_server_stats(f->server).connections > 0)
        assert_true(clock_monotonic_ms() < until && usleep(1000) == 0);
    assert_int_equal(f->closed, 0);
}

/* ---- the loop ---- */

static void job(void *context)
{
    struct fixture *f = context;
    pthread_mutex_lock(&f->lock);
    f->jobs++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void test_timers_and_jobs(void **state)
{
    struct fixture *f = *state;
    http_server_post(f->server, job, f);
    wait_for(f, &f->jobs, 1);
    time_ms until = clock_monotonic_ms() + PATIENCE_MS;
    while (f->ticks < 2)
        assert_true(clock_monotonic_ms() < until && usleep(1000) == 0);
}

static void test_plain_beyond_loopback_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http_client *client;
    assert_int_equal(
        http_server_listen(f->server, &(struct http_listen){.address = "0.0.0.0"}, NULL, &err),
        -EPERM);
    assert_int_equal(
        http_server_listen(
            f->server, &(struct http_listen){.address = "127.0.0.1", .port = f->port}, NULL, &err),
        -EADDRINUSE);
    assert_int_equal(
        http_client_new(&client, &(struct http_client_options){.server = "http://192.0.2.1"}, &err),
        -EPERM);
    assert_int_equal(
        http_client_new(&client, &(struct http_client_options){.server = "ftp://localhost"}, &err),
        -EINVAL);
    assert_int_equal(http_client_new(&client,
                                     &(struct http_client_options){.server = "http://a@localhost"},
                                     &err),
                     -EINVAL);
    assert_true(http_host_is_loopback("LOCALHOST") && http_host_is_loopback("[::1]") &&
                http_host_is_loopback("127.9.9.9"));
    assert_false(http_host_is_loopback("128.0.0.1") || http_host_is_loopback("localhost.example"));
}

/* ---- the client ---- */

static struct http_client *client_of(int port, const char *pin)
{
    struct http_client *client;
    struct error err = {0};
    char server[64];
    snprintf(server, sizeof server, "%s://127.0.0.1:%d", pin ? "https" : "http", port);
    struct http_client_options options = {
        .server = server, .pin = pin && *pin ? pin : NULL, .key = "secret"};
    if (http_client_new(&client, &options, &err))
        fail_msg("%s", err.text);
    return client;
}

static void test_client(void **state)
{
    struct fixture *f = *state;
    struct http_client *client = client_of(f->port, NULL);
    struct http_reply reply = {0};
    struct error err = {0};
    struct http_call call = {.path = "/describe/x", .body = STR("text")};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http_client_call(client, &call, &reply, &err), 0);
        assert_int_equal(reply.status, 201);
        assert_string_equal(buf_text(&reply.body),
                            "POST [describe] [x] 127.0.0.1 cookie= body=text");
        assert_true(str_is(http_reply_header(&reply, "x-size"), "7"));
        assert_null(http_reply_header(&reply, "x-siz").data);
    }
    assert_int_equal(http_server_stats(f->server).connections_total, 1);
    call = (struct http_call){.path = "/big?size=3000", .body_limit = 2000};
    assert_int_equal(http_client_call(client, &call, &reply, &err), -EMSGSIZE);
    call = (struct http_call){.path = "/big?size=3000", .method = "HEAD"};
    assert_int_equal(http_client_call(client, &call, &reply, &err), 0);
    assert_int_equal(reply.body.size, 0);
    call = (struct http_call){.path = "/keep", .timeout_ms = 500};
    assert_int_equal(http_client_call(client, &call, &reply, &err), -ETIMEDOUT);
    call = (struct http_call){.path = "/keep", .timeout_ms = -1, .silence_ms = 500};
    assert_int_equal(http_client_call(client, &call, &reply, &err), -ETIMEDOUT);
    wait_for(f, &f->gone, 2);
    answer_kept(f);
    http_reply_fini(&reply);
    http_client_free(client);
}

static int stop_at_two(void *context, struct str piece)
{
    size_t *size = context;
    *size += piece.size;
    return *size >= 2;
}

static void *abort_soon(void *context)
{
    struct fixture *f = ((void **)context)[0];
    wait_kept(f, 1);
    http_client_abort(((void **)context)[1]);
    return NULL;
}

static void test_calls_are_ended(void **state)
{
    struct fixture *f = *state;
    struct http_client *client = client_of(f->port, NULL);
    struct http_reply reply = {0};
    size_t size = 0;
    struct http_call call = {
        .path = "/stream", .timeout_ms = -1, .sink = stop_at_two, .sink_context = &size};
    assert_int_equal(http_client_call(client, &call, &reply, NULL), -ECANCELED);
    http_stream_end(take_stream(f));
    pthread_t thread;
    void *both[] = {f, client};
    call = (struct http_call){.path = "/keep", .timeout_ms = -1};
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(pthread_create(&thread, NULL, abort_soon, both), 0);
        assert_int_equal(http_client_call(client, &call, &reply, NULL), -ECANCELED);
        pthread_join(thread, NULL);
        wait_for(f, &f->gone, i);
        answer_kept(f);
    }
    http_reply_fini(&reply);
    http_client_free(client);

    client = client_of(1, NULL);
    assert_int_equal(http_client_call(client, &(struct http_call){.path = "/"}, &reply, NULL),
                     -ECONNREFUSED);
    http_reply_fini(&reply);
    http_client_free(client);
}

static void test_escape(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(100);
    http_escape(&out, STR("a/b c~\xC3\xA9"));
    assert_string_equal(buf_text(&out), "a%2Fb%20c~%C3%A9");
}

/* ---- TLS ---- */

static void test_tls_with_its_pin(void **state)
{
    struct fixture *f = *state;
    struct http_client *client = client_of(f->tls_port, certificate_pin(f->certificate));
    struct http_reply reply = {0};
    struct error err = {0};
    struct http_call call = {.path = "/describe", .body = STR("text")};
    if (http_client_call(client, &call, &reply, &err))
        fail_msg("%s", err.text);
    assert_int_equal(reply.status, 201);
    call = (struct http_call){.path = "/big?size=5000000"};
    assert_int_equal(http_client_call(client, &call, &reply, &err), 0);
    assert_int_equal(reply.body.size, 5000000);
    call = (struct http_call){.path = "/file"};
    assert_int_equal(http_client_call(client, &call, &reply, &err), 0);
    assert_int_equal(reply.body.size, 3000000);
    struct buf body = BUF_INIT(200000);
    memset(buf_reserve(&body, 99999), 'y', 99999);
    body.size = 99999;
    call = (struct http_call){.path = "/", .body = buf_str(&body)};
    assert_int_equal(http_client_call(client, &call, &reply, &err), 0);
    assert_true(str_equal(buf_str(&reply.body), buf_str(&body)));
    assert_int_equal(http_server_stats(f->server).connections_total, 1);
    buf_fini(&body);
    http_reply_fini(&reply);
    http_client_free(client);
}

static void test_tls_of_a_stranger_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *pins[] = {"sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ""};
    for (size_t i = 0; i < ARRAY_COUNT(pins); i++) {
        struct http_client *client = client_of(f->tls_port, pins[i]);
        struct http_reply reply = {0};
        struct error err = {0};
        assert_int_equal(http_client_call(client, &(struct http_call){.path = "/"}, &reply, &err),
                         -EKEYREJECTED);
        http_reply_fini(&reply);
        http_client_free(client);
    }
    assert_int_equal(http_server_stats(f->server).requests, 0);
    _cleanup_buf_ struct buf in = {0};
    raw_exchange(f->tls_port, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &in);
    assert_true(strstr(buf_text(&in), "HTTP/1.1") == NULL);
}

static void test_key_of_another_certificate_is_refused(void **state)
{
    struct fixture *f = *state;
    char certificate[128], key[128], other[128];
    const char *name = "other";
    struct certificate *loaded = NULL;
    struct error err;
    snprintf(certificate, sizeof certificate, "%s/certificate.pem", f->folder);
    snprintf(other, sizeof other, "%s/other.pem", f->folder);
    snprintf(key, sizeof key, "%s/other-key.pem", f->folder);
    assert_int_equal(certificate_make(other, key, &name, 1, &err), 0);
    assert_int_equal(certificate_load(&loaded, certificate, key, &err), -EINVAL);
    assert_non_null(strstr(err.text, "is not the key of"));
    unlink(key);
    assert_int_equal(certificate_load(&loaded, other, key, &err), -ENOENT);
    unlink(other);
    assert_null(loaded);
}

#define LIVE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE(test_request_is_decoded),
        LIVE(test_requests_in_one_piece_are_answered_in_order),
        LIVE(test_request_may_come_byte_by_byte),
        LIVE(test_head_has_the_length_alone),
        LIVE(test_malformed_is_refused),
        LIVE(test_limits),
        LIVE(test_expectation_is_met),
        cmocka_unit_test_setup_teardown(test_slow_clients_are_cut_off, set_up_hasty, tear_down),
        LIVE(test_too_many_connections),
        LIVE(test_large_answers),
        LIVE(test_body_goes_to_its_sink),
        LIVE(test_client_leaves_in_the_middle_of_a_file),
        LIVE(test_kept_requests_are_answered_in_a_group),
        LIVE(test_answers_wake_the_loop),
        LIVE(test_client_of_a_kept_request_leaves),
        LIVE(test_requests_behind_a_kept_one_wait),
        LIVE(test_kept_requests_outlive_the_loop),
        LIVE(test_stream),
        LIVE(test_stream_to_an_old_client),
        LIVE(test_reader_of_a_stream_leaves),
        LIVE(test_reader_that_does_not_read_is_cut_off),
        LIVE(test_reader_leaves_an_ended_stream),
        LIVE(test_timers_and_jobs),
        LIVE(test_plain_beyond_loopback_is_refused),
        LIVE(test_client),
        LIVE(test_calls_are_ended),
        cmocka_unit_test(test_escape),
        LIVE(test_tls_with_its_pin),
        LIVE(test_tls_of_a_stranger_is_refused),
        LIVE(test_key_of_another_certificate_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
