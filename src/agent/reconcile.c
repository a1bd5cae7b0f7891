/* SPDX-License-Identifier: Apache-2.0 */
/* What should be against what is. What the desired state does not name must not run; what it names
 * is brought there step by step, as often as the loop comes round. */
#include "agent/agent_internal.h"

#include "base/log.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- binding ---- */

static struct hold_identity identity_of(const struct agent_replica *wanted)
{
    return (struct hold_identity){wanted->workload, wanted->attempt, wanted->role, wanted->rank};
}

static void bind_one(struct agent *a, const struct agent_replica *wanted)
{
    struct hold_identity identity = identity_of(wanted);
    struct hold_name name;
    struct replica *r = NULL;
    if (hold_name_format(&identity, &name)) {
        log_error("the server names a replica that cannot be: %.*s", STR_ARGS(wanted->workload));
        return;
    }
    r = replica_find(a, str_from(name.text));
    if (r == NULL && replica_new(a, &identity, &r))
        return;
    if (r->state == REPLICA_GONE)
        return; /* bound again when its folder is removed */
    r->wanted = wanted;
    if (wanted->master_port != r->busy_port) {
        r->busy_port = 0;
        r->told_busy = false;
    }
    /* The server asks about an end that it was told of. */
    if (r->state == REPLICA_TOLD && a->contact_ms > r->told_ms)
        replica_move(r, REPLICA_ENDED);
}

void reconcile_bind(struct agent *a)
{
    const struct agent_replica *wanted = a->desired.replicas.items;
    LIST_EACH(item, &a->replicas)
    CONTAINER_OF(item, struct replica, link)->wanted = NULL;
    for (size_t i = 0; i < a->desired.replicas.count; i++)
        bind_one(a, &wanted[i]);
}

/* ---- the port of rank 0 ---- */

static bool can_listen(const struct addrinfo *where)
{
    int one = 1, fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool busy = (bind(fd, where->ai_addr, where->ai_addrlen) < 0 || listen(fd, 1) < 0) &&
                errno == EADDRINUSE;
    close(fd);
    return !busy;
}

/* Whether somebody listens there already. An address that is not ours is not judged. */
static bool port_is_free(struct str address, int64_t port)
{
    char service[16];
    struct addrinfo *found = NULL,
                    hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
    _cleanup_free_ char *host = str_dup(address);
    snprintf(service, sizeof service, "%lld", (long long)port);
    if (getaddrinfo(host, service, &hints, &found) || found == NULL)
        return true;
    bool free = can_listen(found);
    freeaddrinfo(found);
    return free;
}

/* ---- one step ---- */

/* No two attempts of one workload at a time on this node, however fast the next one comes. */
static bool older_attempt_runs(const struct replica *r)
{
    LIST_EACH(item, &r->agent->replicas)
    {
        const struct replica *other = CONTAINER_OF(item, struct replica, link);
        if (other->state == REPLICA_HELD && other->identity.attempt != r->identity.attempt &&
            str_equal(other->identity.workload, r->identity.workload))
            return true;
    }
    return false;
}

static void start(struct replica *r)
{
    const struct agent_replica *wanted = r->wanted;
    if (r->busy_port || older_attempt_runs(r))
        return;
    if (wanted->rank == 0 && wanted->master_port &&
        !port_is_free(wanted->master_address, wanted->master_port)) {
        log_warning("%s: port %lld of %.*s is taken", r->name.text, (long long)wanted->master_port,
                    STR_ARGS(wanted->master_address));
        r->busy_port = wanted->master_port;
        r->told_busy = false;
        return;
    }
    holder_start(r);
}

static void towards_run(struct replica *r)
{
    if (r->state == REPLICA_NEW)
        prepare_start(r);
    if (r->state == REPLICA_READY && r->wanted->action == AGENT_RUN)
        start(r);
}

static void towards_stop(struct replica *r)
{
    if (r->state == REPLICA_NEW)
        replica_fail(r, "it is not on this node");
    else if (r->state == REPLICA_READY)
        replica_fail(r, "stopped before it began");
    else if (r->state == REPLICA_HELD && replica_is_guest(r))
        guest_stop(r);
    else if (r->state == REPLICA_HELD)
        holder_stop(r, (int)r->wanted->spec.signal, r->agent->told_at_ms + r->wanted->stop_in_ms);
}

static void towards_nothing(struct replica *r)
{
    if (r->state == REPLICA_HELD)
        holder_stop(r, 0, now_ms());
    else if (r->state == REPLICA_TOLD && r->agent->contact_ms <= r->told_ms)
        return; /* an answer from before it was told may still name it */
    else if (r->state != REPLICA_FETCHING && r->state != REPLICA_GONE)
        prepare_remove(r);
}

void reconcile(struct agent *a)
{
    if (a->desired_arena == NULL)
        return; /* nobody has said yet what should be: everything stays */
    LIST_EACH_SAFE(item, &a->replicas)
    {
        struct replica *r = CONTAINER_OF(item, struct replica, link);
        if (r->wanted == NULL)
            towards_nothing(r);
        else if (r->wanted->action == AGENT_STOP)
            towards_stop(r);
        else
            towards_run(r);
    }
}
