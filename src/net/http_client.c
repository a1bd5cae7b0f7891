/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_client.h"

#include "base/clock.h"
#include "net/outbound.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#define TIMEOUT_MS 30000
#define CONNECT_TIMEOUT_MS 10000
#define BODY_LIMIT ((size_t)16 * 1024 * 1024)
#define HEAD_LIMIT ((size_t)64 * 1024)
#define POLL_MS 10000

struct http_client {
    CURL *easy;
    CURLM *multi;
    char *server, *key, *pin;
    int authority, certificate, certificate_key; /* files in memory with PEM; -1 = none */
    int connect_timeout_ms;
    bool loopback, stranger, allow_private;
    atomic_bool aborted;
    /* of the call that runs */
    const struct http_call *call;
    struct http_reply *reply;
    uint64_t file_offset;
    time_ms last_byte_ms;
    int failed; /* why a callback of ours ended it */
    char text[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_begin(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
}

/* ---- its beginning and end ---- */

static int check_server(const struct http_client_options *options, bool *ret_loopback,
                        struct error *err)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL, *query = NULL;
    int rc = 0;
    CHECK(url);
    if (options->server == NULL || curl_url_set(url, CURLUPART_URL, options->server, 0) ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        rc = error_set(err, -EINVAL,
                       "\"%s\" is not a server's URL: http://HOST:PORT or https://HOST:PORT",
                       options->server ? options->server : "");
    else if (!curl_url_get(url, CURLUPART_USER, &user, 0) ||
             !curl_url_get(url, CURLUPART_QUERY, &query, 0))
        rc = error_set(err, -EINVAL, "the server's URL may hold neither a user nor a query");
    *ret_loopback = rc == 0 && http_host_is_loopback(host);
    if (rc == 0 && !*ret_loopback && strcmp(scheme, "http") == 0 && !options->insecure)
        rc = error_set(
            err, -EPERM,
            "%s is not loopback: plain http would show the key to the network; use https", host);
    if (rc == 0 && options->stranger && strcmp(scheme, "https") != 0)
        rc = error_set(err, -EPERM, "%s is to be called by https alone", host);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(query);
    curl_url_cleanup(url);
    return rc;
}

/* Not every TLS library of curl's takes PEM from memory; all take a file. */
static int pem_file(const char *pem)
{
    if (pem == NULL)
        return -1;
    int fd = memfd_create("pem", MFD_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t at = 0, size = strlen(pem); at < size;) {
        ssize_t written = write(fd, pem + at, size - at);
        CHECK(written > 0);
        at += (size_t)written;
    }
    return fd;
}

int http_client_new(struct http_client **ret, const struct http_client_options *options,
                    struct error *err)
{
    pthread_once(&curl_once, curl_begin);
    bool loopback;
    int rc = check_server(options, &loopback, err);
    if (rc)
        return rc;
    struct http_client *c = xcalloc(1, sizeof *c);
    struct str server = str_from(options->server);
    while (server.size > 0 && server.data[server.size - 1] == '/')
        server.size--;
    c->server = str_dup(server);
    c->key = options->key ? xstrdup(options->key) : NULL;
    c->pin = options->pin ? xstrdup(options->pin) : NULL;
    c->authority = pem_file(options->authority);
    c->certificate = pem_file(options->certificate);
    c->certificate_key = pem_file(options->certificate_key);
    c->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    c->loopback = loopback;
    c->stranger = options->stranger;
    c->allow_private = options->allow_private;
    c->easy = curl_easy_init();
    c->multi = curl_multi_init();
    CHECK(c->easy && c->multi);
    *ret = c;
    return 0;
}

static void forget_key(struct http_client *c)
{
    if (c->key)
        explicit_bzero(c->key, strlen(c->key));
    xfree(TAKE(c->key));
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    forget_key(c);
    const int files[] = {c->authority, c->certificate, c->certificate_key};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++)
        if (files[i] >= 0)
            close(files[i]);
    xfree(c->server);
    xfree(c->pin);
    xfree(c);
}

void http_client_set_key(struct http_client *c, const char *key)
{
    char *copy = key ? xstrdup(key) : NULL;
    forget_key(c);
    c->key = copy;
}

void http_client_abort(struct http_client *c)
{
    atomic_store(&c->aborted, true);
    curl_multi_wakeup(c->multi);
}

void http_reply_fini(struct http_reply *r)
{
    buf_fini(&r->body);
    buf_fini(&r->head);
    *r = (struct http_reply){0};
}

struct str http_reply_header(const struct http_reply *r, const char *name)
{
    struct str rest = buf_str(&r->head);
    while (rest.size > 0) {
        struct str value = str_cut(&rest, '\n'), before = str_cut(&value, ':');
        if (before.size == strlen(name) && strncasecmp(before.data, name, before.size) == 0) {
            value = str_trim(value);
            return (struct str){value.data ? value.data : "", value.size};
        }
    }
    return (struct str){0};
}

/* ---- what curl calls ---- */

static size_t take_head(char *data, size_t size, size_t count, void *context)
{
    struct http_client *c = context;
    struct buf *head = &c->reply->head;
    c->last_byte_ms = clock_monotonic_ms();
    if (size * count >= 5 && memcmp(data, "HTTP/", 5) == 0)
        buf_clear(head); /* what came before was 1xx */
    buf_append(head, data, size * count);
    if (head->overflow)
        c->failed = -EMSGSIZE;
    return head->overflow ? 0 : size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct http_client *c = context;
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    c->last_byte_ms = clock_monotonic_ms();
    if (c->call->sink && status / 100 == 2) {
        if (c->call->sink(c->call->sink_context, (struct str){data, size * count}))
            c->failed = -ECANCELED;
    } else {
        buf_append(&c->reply->body, data, size * count);
        if (c->reply->body.overflow)
            c->failed = -EMSGSIZE;
    }
    return c->failed ? CURL_WRITEFUNC_ERROR : size * count;
}

static size_t give_file(char *to, size_t size, size_t count, void *context)
{
    struct http_client *c = context;
    uint64_t left = c->call->body_file_size - c->file_offset;
    ssize_t got = pread(c->call->body_file, to, (size_t)MIN(left, (uint64_t)(size * count)),
                        (off_t)c->file_offset);
    if (got < 0 || (got == 0 && left > 0)) {
        c->failed = -EIO;
        return CURL_READFUNC_ABORT;
    }
    c->file_offset += (uint64_t)got;
    return (size_t)got;
}

/* For a second try on a fresh connection, where the kept one turned out to be closed. */
static int rewind_file(void *context, curl_off_t offset, int origin)
{
    struct http_client *c = context;
    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    c->file_offset = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* A name is looked up by curl, and again for each connection: what counts is where this one goes. */
static curl_socket_t open_public(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_client *c = context;
    (void)purpose;
    if (!c->allow_private && !outbound_address_public(&address->addr)) {
        c->failed = -EACCES;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- a call ---- */

static struct curl_slist *add_line(struct curl_slist *lines, const char *line)
{
    struct curl_slist *longer = curl_slist_append(lines, line);
    CHECK(longer);
    return longer;
}

static struct curl_slist *header_lines(const struct http_client *c, const struct http_call *call)
{
    struct buf line = BUF_INIT(HEAD_LIMIT);
    struct curl_slist *lines = NULL;
    if (call->body_file <= 0)
        lines = add_line(lines, "Expect:");
    if (call->content_type) {
        buf_printf(&line, "Content-Type: %s", call->content_type);
        lines = add_line(lines, buf_text(&line));
    } else if (call->body.size || call->body_file > 0) {
        lines = add_line(lines, "Content-Type:");
    }
    if (c->key) {
        buf_clear(&line);
        buf_printf(&line, "Authorization: Bearer %s", c->key);
        lines = add_line(lines, buf_text(&line));
        explicit_bzero(line.data, line.size);
    }
    for (size_t i = 0; i < call->header_count; i++)
        lines = add_line(lines, call->headers[i]);
    buf_fini(&line);
    return lines;
}

static void set_body(struct http_client *c, const struct http_call *call)
{
    bool has_body = call->body.size > 0 || call->body_file > 0;
    const char *method = call->method ? call->method : has_body ? "POST" : "GET";
    if (call->body_file > 0) {
        curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, give_file);
        curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_SEEKFUNCTION, rewind_file);
        curl_easy_setopt(c->easy, CURLOPT_SEEKDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_file_size);
    } else if (has_body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
               strcmp(method, "PATCH") == 0) {
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, call->body.size ? call->body.data : "");
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_file(struct http_client *c, CURLoption option, int fd)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd >= 0)
        curl_easy_setopt(c->easy, option, path);
}

static void set_safety(struct http_client *c)
{
    CURL *easy = c->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (c->loopback || c->stranger)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    if (c->stranger) {
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_public);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, c);
    }
    set_file(c, CURLOPT_CAINFO, c->authority);
    set_file(c, CURLOPT_SSLCERT, c->certificate);
    set_file(c, CURLOPT_SSLKEY, c->certificate_key);
    if (c->pin) {
        curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, c->pin);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_call(struct http_client *c, const struct http_call *call, const char *url)
{
    CURL *easy = c->easy;
    curl_easy_reset(easy);
    set_safety(c);
    set_body(c, call);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->text);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
    long timeout = call->timeout_ms == 0 ? TIMEOUT_MS : call->timeout_ms < 0 ? 0 : call->timeout_ms;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
}

static int code_of(CURLcode result)
{
    /* curl has a hundred of them: the rest is the same to every caller */
    static const struct {
        CURLcode result;
        int code;
    } codes[] = {
        {CURLE_OK, 0},
        {CURLE_COULDNT_CONNECT, -ECONNREFUSED},
        {CURLE_COULDNT_RESOLVE_HOST, -ECONNREFUSED},
        {CURLE_COULDNT_RESOLVE_PROXY, -ECONNREFUSED},
        {CURLE_SEND_ERROR, -ECONNREFUSED},
        {CURLE_RECV_ERROR, -ECONNREFUSED},
        {CURLE_GOT_NOTHING, -ECONNREFUSED},
        {CURLE_PARTIAL_FILE, -ECONNREFUSED},
        {CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT},
        {CURLE_SSL_PINNEDPUBKEYNOTMATCH, -EKEYREJECTED},
        {CURLE_PEER_FAILED_VERIFICATION, -EKEYREJECTED},
        {CURLE_SSL_CONNECT_ERROR, -EKEYREJECTED},
        {CURLE_SSL_CERTPROBLEM, -EKEYREJECTED},
        {CURLE_SSL_CIPHER, -EKEYREJECTED},
        {CURLE_SSL_ISSUER_ERROR, -EKEYREJECTED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        if (codes[i].result == result)
            return codes[i].code;
    return -EIO;
}

static int fail(struct http_client *c, int code, CURLcode result, struct error *err)
{
    const char *why = c->text[0] ? c->text : curl_easy_strerror(result);
    if (code == -ECANCELED)
        why = "the call was ended";
    else if (code == -EACCES)
        why = "it is not at an address of the public internet, and no other one is called";
    else if (code == -EMSGSIZE)
        why = "the answer is too large";
    else if (code == -ETIMEDOUT && result == CURLE_OK)
        why = "the server fell silent";
    return error_set(err, code, "%s: %s", c->server, why);
}

/* How long to sleep, or 0 where the silence has lasted too long. */
static int patience(const struct http_client *c)
{
    if (c->call->silence_ms <= 0)
        return POLL_MS;
    time_ms left = c->last_byte_ms + c->call->silence_ms - clock_monotonic_ms();
    return (int)CLAMP(left, 0, POLL_MS);
}

/* Runs what was set up. *ret_result is curl's word where curl ended it. */
static int transfer(struct http_client *c, CURLcode *ret_result)
{
    *ret_result = CURLE_OK;
    while (true) {
        int running = 0, left = 0;
        if (atomic_exchange(&c->aborted, false))
            return -ECANCELED;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK)
            return -EIO;
        CURLMsg *message = curl_multi_info_read(c->multi, &left);
        if (message) {
            *ret_result = message->data.result;
            return *ret_result && c->failed ? c->failed : code_of(*ret_result);
        }
        int wait_ms = patience(c);
        if (wait_ms == 0)
            return -ETIMEDOUT;
        curl_multi_poll(c->multi, NULL, 0, wait_ms, NULL);
    }
}

int http_client_call(struct http_client *c, const struct http_call *call, struct http_reply *reply,
                     struct error *err)
{
    _cleanup_buf_ struct buf url = BUF_INIT(HEAD_LIMIT);
    buf_printf(&url, "%s%s", c->server, call->path);
    c->call = call;
    c->reply = reply;
    c->file_offset = 0;
    c->failed = 0;
    c->text[0] = '\0';
    c->last_byte_ms = clock_monotonic_ms();
    reply->status = 0;
    reply->body.limit = call->body_limit ? call->body_limit : BODY_LIMIT;
    reply->head.limit = HEAD_LIMIT;
    buf_clear(&reply->body);
    buf_clear(&reply->head);
    struct curl_slist *lines = header_lines(c, call);
    set_call(c, call, buf_text(&url));
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, lines);
    CHECK(curl_multi_add_handle(c->multi, c->easy) == CURLM_OK);
    CURLcode result;
    int rc = transfer(c, &result);
    long status = 0, sent = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
    reply->status = (int)status;
    reply->sent = sent > 0;
    curl_multi_remove_handle(c->multi, c->easy);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
    for (struct curl_slist *line = lines; line; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(lines);
    return rc ? fail(c, rc, result, err) : 0;
}
