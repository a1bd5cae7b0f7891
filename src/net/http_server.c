/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: listeners, notes from other threads, timers and deadlines. */
#include "base/clock.h"
#include "net/http_client.h"
#include "net/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 128
#define ACCEPTS 64
#define CLOSING_MS 1000
#define SWEEP_MS 500

static _Thread_local struct http_server *loop_of_thread;

bool server_on_loop(const struct http_server *s)
{
    return loop_of_thread == s;
}

/* ---- notes ---- */

static void wake(struct http_server *s)
{
    uint64_t one = 1;
    ssize_t rc;
    do
        rc = write(s->wake, &one, sizeof one);
    while (rc < 0 && errno == EINTR);
}

void server_notify(struct http_server *s, struct http_note *first, struct http_note *last)
{
    if (server_on_loop(s)) {
        last->next = s->local;
        s->local = first;
        return;
    }
    struct http_note *head = atomic_load_explicit(&s->notes, memory_order_relaxed);
    do
        last->next = head;
    while (!atomic_compare_exchange_weak(&s->notes, &head, first));
    if (atomic_exchange(&s->sleeping, false))
        wake(s);
}

static void answer_noted(struct http_server *s, struct request *r)
{
    if (r->complete)
        atomic_fetch_sub_explicit(&s->kept, 1, memory_order_relaxed);
    if (r->connection) {
        if (r->date_at)
            memcpy(r->out.data + r->date_at, s->date, HTTP_DATE_SIZE);
        connection_answer(r->connection, r);
        return;
    }
    if (r->stream)
        stream_begin_on(r->stream, NULL);
    request_free(r);
}

static void run_job(struct http_note *note)
{
    struct http_job *job = CONTAINER_OF(note, struct http_job, note);
    job->job(job->context);
    xfree(job);
}

static void note_arrived(struct http_server *s, struct http_note *note)
{
    switch (note->kind) {
    case NOTE_ANSWER:
        answer_noted(s, CONTAINER_OF(note, struct request, note));
        break;
    case NOTE_STREAM:
        stream_noted(CONTAINER_OF(note, struct http_stream, note));
        break;
    case NOTE_JOB:
        run_job(note);
        break;
    }
}

static struct http_note *reversed(struct http_note *note)
{
    struct http_note *done = NULL;
    while (note) {
        struct http_note *next = note->next;
        note->next = done;
        done = note;
        note = next;
    }
    return done;
}

static void take_notes(struct http_server *s, struct http_note *newest)
{
    for (struct http_note *note = reversed(newest), *next; note; note = next) {
        next = note->next;
        note_arrived(s, note);
    }
}

/* The loop's own first: a stream that it began may have been written to by others since. */
static void take_all_notes(struct http_server *s)
{
    while (s->local)
        take_notes(s, TAKE(s->local));
    take_notes(s, atomic_exchange(&s->notes, NULL));
    while (s->local)
        take_notes(s, TAKE(s->local));
}

void http_server_post(struct http_server *s, http_timer *work, void *context)
{
    struct http_job *job = xmalloc(sizeof *job);
    *job = (struct http_job){.note.kind = NOTE_JOB, .job = work, .context = context};
    server_notify(s, &job->note, &job->note);
}

/* ---- listeners ---- */

static void peer_text(const struct sockaddr_storage *address, char *text)
{
    const void *from =
        address->ss_family == AF_INET6
            ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
            : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (inet_ntop(address->ss_family, from, text, HTTP_PEER_MAX) == NULL)
        text[0] = '\0';
}

static void turn_away(const struct listener *l, int fd)
{
    static const char busy[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        "Content-Length: 80\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        "{\"error\":{\"code\":\"unavailable\",\"message\":\"there are too many connections "
        "now\"}}\n";
    if (l->certificate == NULL)
        (void)!send(fd, busy, sizeof busy - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

/* With no descriptor left a waiting client would wake the loop for ever: the spare one lets it in
 * and out. */
static void drop_waiting(struct http_server *s, const struct listener *l)
{
    close(s->spare_fd);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        turn_away(l, fd);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct http_server *s, const struct listener *l)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd = accept4(l->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            drop_waiting(s, l);
        if (fd < 0)
            return;
        if (atomic_load_explicit(&s->connection_count, memory_order_relaxed) >=
            s->options.connection_limit) {
            atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
            turn_away(l, fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        char peer[HTTP_PEER_MAX];
        peer_text(&address, peer);
        connection_new(s, fd, l, peer);
    }
}

static int parse_address(const struct http_listen *listen, struct sockaddr_storage *ret,
                         socklen_t *ret_size)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)ret;
    memset(ret, 0, sizeof *ret);
    if (listen->port < 0 || listen->port > 65535)
        return -EINVAL;
    if (inet_pton(AF_INET, listen->address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)listen->port);
        *ret_size = sizeof *four;
        return 0;
    }
    if (inet_pton(AF_INET6, listen->address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)listen->port);
        *ret_size = sizeof *six;
        return 0;
    }
    return -EINVAL;
}

static int open_listener(const struct sockaddr_storage *address, socklen_t size, int *ret_port)
{
    int on = 1, fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    if (bind(fd, (const struct sockaddr *)address, size) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_size) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *ret_port =
        ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
                                          : ((struct sockaddr_in *)(void *)&bound)->sin_port);
    return fd;
}

int http_server_listen(struct http_server *s, const struct http_listen *listen, int *ret_port,
                       struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size;
    if (parse_address(listen, &address, &size) < 0)
        return error_set(err, -EINVAL, "%s port %d is not an address to listen on", listen->address,
                         listen->port);
    if (listen->certificate == NULL && !listen->insecure && !http_host_is_loopback(listen->address))
        return error_set(err, -EPERM, "%s is not loopback: listening there wants TLS",
                         listen->address);
    int port = 0, fd = open_listener(&address, size, &port);
    if (fd < 0)
        return error_set(err, fd, "cannot listen on %s port %d: %s", listen->address, listen->port,
                         strerror(-fd));
    struct listener *l = xcalloc(1, sizeof *l);
    *l = (struct listener){
        .watch.kind = WATCH_LISTENER, .fd = fd, .certificate = listen->certificate};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    CHECK(epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    list_append(&s->listeners, &l->link);
    if (ret_port)
        *ret_port = port;
    return 0;
}

static void close_listeners(struct http_server *s)
{
    LIST_EACH_SAFE(item, &s->listeners)
    {
        struct listener *l = CONTAINER_OF(item, struct listener, link);
        list_remove(item);
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, l->fd, NULL);
        shutdown(l->fd, SHUT_RDWR);
        close(l->fd);
        xfree(l);
    }
}

/* ---- time ---- */

static void look_at_clock(struct http_server *s)
{
    s->now_ms = clock_monotonic_ms();
    time_t second = (time_t)(clock_wall_ms() / 1000);
    if (second == s->date_second)
        return;
    /* not strftime's names, which follow the locale */
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm t;
    s->date_second = second;
    gmtime_r(&second, &t);
    char text[64];
    snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday,
             t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    memcpy(s->date, text, HTTP_DATE_SIZE);
}

void http_server_timer(struct http_server *s, int interval_ms, http_timer *timer, void *context)
{
    CHECK(interval_ms > 0);
    struct loop_timer *t = xcalloc(1, sizeof *t);
    *t = (struct loop_timer){.timer = timer,
                             .context = context,
                             .interval_ms = interval_ms,
                             .due_ms = clock_monotonic_ms() + interval_ms};
    list_append(&s->timers, &t->link);
}

static void run_timers(struct http_server *s)
{
    LIST_EACH(item, &s->timers)
    {
        struct loop_timer *t = CONTAINER_OF(item, struct loop_timer, link);
        if (t->due_ms > s->now_ms)
            continue;
        t->due_ms = MAX(t->due_ms + t->interval_ms, s->now_ms + 1);
        t->timer(t->context);
    }
}

static void sweep(struct http_server *s)
{
    if (s->sweep_due_ms > s->now_ms)
        return;
    s->sweep_due_ms = s->now_ms + s->sweep_ms;
    LIST_EACH_SAFE(item, &s->connections)
    {
        struct connection *c = CONTAINER_OF(item, struct connection, link);
        if (c->deadline_ms <= s->now_ms)
            connection_expire(c);
    }
}

static int loop_timeout(struct http_server *s)
{
    if (s->local || atomic_load(&s->notes) ||
        atomic_load(&s->stopping) != (s->closing_until_ms != 0))
        return 0;
    time_ms due = list_empty(&s->connections) ? s->now_ms + 60000 : s->sweep_due_ms;
    LIST_EACH(item, &s->timers)
    {
        due = MIN(due, CONTAINER_OF(item, struct loop_timer, link)->due_ms);
    }
    return (int)CLAMP(due - clock_monotonic_ms(), 0, 60000);
}

/* ---- the loop ---- */

static void take_event(struct http_server *s, const struct epoll_event *event)
{
    struct watch *w = event->data.ptr;
    uint64_t count;
    switch (w->kind) {
    case WATCH_WAKE:
        (void)!read(s->wake, &count, sizeof count);
        break;
    case WATCH_LISTENER:
        accept_some(s, CONTAINER_OF(w, struct listener, watch));
        break;
    case WATCH_CONNECTION:
        connection_event(CONTAINER_OF(w, struct connection, watch), event->events);
        break;
    }
}

static void bury(struct http_server *s)
{
    LIST_EACH_SAFE(item, &s->dead)
    {
        list_remove(item);
        xfree(CONTAINER_OF(item, struct connection, link));
    }
}

static void close_connections(struct http_server *s)
{
    LIST_EACH_SAFE(item, &s->connections)
    {
        connection_close(CONTAINER_OF(item, struct connection, link), false);
    }
}

static void begin_closing(struct http_server *s)
{
    s->closing_until_ms = s->now_ms + CLOSING_MS;
    close_listeners(s);
    LIST_EACH_SAFE(item, &s->connections)
    {
        struct connection *c = CONTAINER_OF(item, struct connection, link);
        c->close = true;
        if (c->state == CONNECTION_STREAM)
            connection_flush(c);
        else if (c->state != CONNECTION_ANSWER)
            connection_close(c, true);
    }
}

/* Whether the loop is over. */
static bool is_closed(struct http_server *s)
{
    if (s->closing_until_ms == 0)
        begin_closing(s);
    if (s->now_ms >= s->closing_until_ms)
        close_connections(s);
    return list_empty(&s->connections);
}

void http_server_run(struct http_server *s)
{
    struct epoll_event events[EVENTS];
    loop_of_thread = s;
    /* sendfile cannot be told, as send can, not to raise it */
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    bool over = false;
    look_at_clock(s);
    while (!over) {
        atomic_store(&s->sleeping, true);
        int count = epoll_wait(s->epoll, events, EVENTS, loop_timeout(s));
        atomic_store(&s->sleeping, false);
        look_at_clock(s);
        for (int i = 0; i < count; i++)
            take_event(s, &events[i]);
        take_all_notes(s);
        run_timers(s);
        sweep(s);
        take_all_notes(s);
        over = atomic_load(&s->stopping) && is_closed(s);
        bury(s);
    }
    take_all_notes(s);
    loop_of_thread = NULL;
}

void http_server_stop(struct http_server *s)
{
    atomic_store(&s->stopping, true);
    wake(s);
}

/* ---- its beginning and end ---- */

static void set_defaults(struct http_server_options *o)
{
    o->body_limit = o->body_limit ? o->body_limit : HTTP_BODY_DEFAULT;
    o->head_limit = o->head_limit ? o->head_limit : (size_t)16 * 1024;
    o->connection_limit = o->connection_limit ? o->connection_limit : 4096;
    o->head_timeout_ms = o->head_timeout_ms ? o->head_timeout_ms : 10000;
    o->idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : 75000;
    o->stall_timeout_ms = o->stall_timeout_ms ? o->stall_timeout_ms : 30000;
}

int http_server_new(struct http_server **ret, const struct http_server_options *options,
                    struct error *err)
{
    CHECK(options->handler);
    struct http_server *s = xcalloc(1, sizeof *s);
    s->options = *options;
    set_defaults(&s->options);
    int shortest = MIN(MIN(s->options.head_timeout_ms, s->options.idle_timeout_ms),
                       s->options.stall_timeout_ms);
    s->sweep_ms = CLAMP(shortest / 4, 10, SWEEP_MS);
    list_init(&s->listeners);
    list_init(&s->connections);
    list_init(&s->dead);
    list_init(&s->timers);
    s->scratch = xmalloc(HTTP_SCRATCH);
    s->wake_watch.kind = WATCH_WAKE;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->wake_watch};
    if (s->epoll < 0 || s->wake < 0 || s->spare_fd < 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &event) < 0) {
        int rc = error_set(err, -errno, "cannot make an event loop: %s", strerror(errno));
        http_server_free(s);
        return rc;
    }
    look_at_clock(s);
    *ret = s;
    return 0;
}

static void free_lists(struct http_server *s)
{
    close_connections(s);
    loop_of_thread = s;
    take_all_notes(s);
    loop_of_thread = NULL;
    bury(s);
    LIST_EACH_SAFE(item, &s->timers)
    {
        list_remove(item);
        xfree(CONTAINER_OF(item, struct loop_timer, link));
    }
    while (s->spare) {
        struct request *r = s->spare;
        s->spare = r->next_spare;
        request_destroy(r);
    }
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    close_listeners(s);
    free_lists(s);
    int fds[] = {s->epoll, s->wake, s->spare_fd};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    xfree(s->scratch);
    xfree(s);
}

struct http_server_stats http_server_stats(struct http_server *s)
{
    return (struct http_server_stats){
        .requests = atomic_load_explicit(&s->requests, memory_order_relaxed),
        .connections_total = atomic_load_explicit(&s->connections_total, memory_order_relaxed),
        .refused = atomic_load_explicit(&s->refused, memory_order_relaxed),
        .connections = atomic_load_explicit(&s->connection_count, memory_order_relaxed),
        .kept = atomic_load_explicit(&s->kept, memory_order_relaxed),
    };
}
