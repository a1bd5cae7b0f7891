/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)64 << 20)
#define READ_SIZE 16384
#define EVENTS 256

void load_write(struct buf *out, const struct load_request *r)
{
    buf_printf(out, "%s %.*s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", r->method, STR_ARGS(r->path),
               r->port);
    if (r->key && r->key[0])
        buf_printf(out, "Authorization: Bearer %s\r\n", r->key);
    if (r->body.size || r->method[0] == 'P')
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", r->body.size);
    buf_append_text(out, "\r\n");
    buf_append_str(out, r->body);
}

static int connect_one(struct load_client *client, struct load_connection *c, struct error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)client->options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return error_set(err, -errno, "socket: %s", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return error_set(err, -errno, "connection %u to port %d: %s", c->index,
                         client->options.port, strerror(errno));
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
        return error_set(err, -errno, "epoll: %s", strerror(errno));
    return 0;
}

int load_open(struct load_client *client, const struct load_options *options, struct error *err)
{
    *client = (struct load_client){.options = *options,
                                   .epoll = epoll_create1(EPOLL_CLOEXEC),
                                   .connections = xcalloc(options->connections,
                                                          sizeof *client->connections)};
    int code = 0;
    for (unsigned i = 0; i < options->connections; i++) {
        struct load_connection *c = &client->connections[i];
        *c = (struct load_connection){.fd = -1,
                                      .index = i,
                                      .scratch = BUF_INIT(ANSWER_MAX),
                                      .in = BUF_INIT(ANSWER_MAX)};
        if (code == 0)
            code = connect_one(client, c, err);
    }
    return code;
}

void load_close(struct load_client *client)
{
    for (unsigned i = 0; i < client->options.connections; i++) {
        struct load_connection *c = &client->connections[i];
        if (c->fd >= 0)
            close(c->fd);
        buf_fini(&c->scratch);
        buf_fini(&c->in);
    }
    xfree(client->connections);
    close(client->epoll);
}

static int flush(struct load_client *client, struct load_connection *c)
{
    while (c->sent < c->request.size) {
        ssize_t n = send(c->fd, c->request.data + c->sent, c->request.size - c->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            break;
        c->sent += (size_t)n;
    }
    bool want = c->sent < c->request.size;
    if (want != c->want_write) {
        struct epoll_event event = {.events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
        epoll_ctl(client->epoll, EPOLL_CTL_MOD, c->fd, &event);
        c->want_write = want;
    }
    return 0;
}

static int begin(struct load_client *client, struct load_connection *c)
{
    if (client->stop || !client->options.next(client, c))
        return 0;
    c->busy = true;
    client->busy++;
    c->sent = 0;
    c->began_us = (uint64_t)clock_monotonic_us();
    return flush(client, c);
}

/* The value of a header as a number, -1 where it is absent. */
static int64_t head_number(struct str head, const char *name)
{
    const char *at = memmem(head.data, head.size, name, strlen(name));
    if (!at)
        return -1;
    int64_t value = 0;
    for (at += strlen(name); at < head.data + head.size && (*at == ' ' || *at == ':'); at++)
        ;
    for (; at < head.data + head.size && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (*at - '0');
    return value;
}

/* 1: an answer was complete and handed over; 0: more is needed; -1: not HTTP. */
static int take_answer(struct load_client *client, struct load_connection *c)
{
    const char *end = memmem(c->in.data, c->in.size, "\r\n\r\n", 4);
    if (!end)
        return c->in.size > READ_SIZE ? -1 : 0;
    struct str head = {c->in.data, (size_t)(end - c->in.data)};
    size_t body_at = head.size + 4;
    if (head.size < 12 || memcmp(head.data, "HTTP/1.1 ", 9) != 0)
        return -1;
    int64_t length = head_number(head, "Content-Length");
    if (length < 0)
        length = MAX(head_number(head, "content-length"), 0);
    if (c->in.size < body_at + (size_t)length)
        return 0;
    int status = (head.data[9] - '0') * 100 + (head.data[10] - '0') * 10 + (head.data[11] - '0');
    c->busy = false;
    client->busy--;
    client->answered++;
    client->options.answer(client, c, status, (struct str){c->in.data + body_at, (size_t)length});
    buf_clear(&c->in);
    return 1;
}

static int serve(struct load_client *client, struct load_connection *c, uint32_t events)
{
    if (events & EPOLLOUT && flush(client, c) < 0)
        return -1;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return 0;
    char *room = buf_reserve(&c->in, READ_SIZE);
    if (!room)
        return -1;
    ssize_t n = recv(c->fd, room, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0 || !c->busy)
        return -1;
    c->in.size += (size_t)n;
    int taken = take_answer(client, c);
    return taken == 1 ? begin(client, c) : taken;
}

static int begin_idle(struct load_client *client)
{
    for (unsigned i = 0; i < client->options.connections; i++)
        if (!client->connections[i].busy && begin(client, &client->connections[i]) < 0)
            return -1;
    return 0;
}

static int broken(const struct load_connection *c)
{
    fprintf(stderr, "load: connection %u ended: %s\n", c->index, strerror(errno));
    return -1;
}

int load_run(struct load_client *client, uint64_t deadline_us, int drain_ms)
{
    struct epoll_event events[EVENTS];
    uint64_t drained = 0;
    if (begin_idle(client) < 0)
        return -1;
    while (!client->stop || client->busy) {
        uint64_t now = (uint64_t)clock_monotonic_us();
        if (deadline_us && now >= deadline_us)
            client->stop = true;
        if (client->stop && !drained)
            drained = now + (uint64_t)drain_ms * 1000;
        if (client->stop && (now >= drained || !client->busy))
            break;
        int n = epoll_wait(client->epoll, events, EVENTS, 20);
        for (int i = 0; i < n; i++)
            if (serve(client, events[i].data.ptr, events[i].events) < 0)
                return broken(events[i].data.ptr);
        if (!client->stop && client->busy < client->options.connections && begin_idle(client) < 0)
            return -1;
    }
    return (int)client->busy;
}
