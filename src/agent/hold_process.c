/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "node/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_WAIT_MS 2000
#define DESCENDANTS_MAX 4096

void hold_signal(struct hold *h, int signal)
{
    if (hold_is_guest(h)) { /* its own first process knows what to do */
        if (h->process > 0)
            kill(h->process, signal);
        return;
    }
    if (h->group.count)
        cgroup_signal(&h->group, signal);
    else
        process_signal_descendants(getpid(), signal);
}

void hold_freeze(struct hold *h, bool frozen)
{
    int rc = cgroup_freeze(&h->group, frozen);
    if (rc == -ENOTSUP)
        hold_signal(h, frozen ? SIGSTOP : SIGCONT);
    else if (rc)
        log_warning("%s: cannot be %s: %s", h->folder, frozen ? "frozen" : "thawed", strerror(-rc));
    h->frozen = frozen;
}

void hold_reap(struct hold *h)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == h->process) {
            h->process = 0;
            h->status = status;
        }
}

static size_t descendants(void)
{
    pid_t pids[DESCENDANTS_MAX];
    return process_descendants(getpid(), pids, DESCENDANTS_MAX);
}

static bool have_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void hold_kill(struct hold *h)
{
    time_ms end = clock_monotonic_ms() + KILL_WAIT_MS;
    if (h->group.count && cgroup_kill(&h->group) < 0)
        log_warning("%s: some of its processes do not die", h->folder);
    /* All that we ever started is ours to reap, whoever its parent was. */
    for (hold_reap(h); have_children() && clock_monotonic_ms() < end; hold_reap(h)) {
        if (h->group.count == 0)
            process_signal_descendants(getpid(), SIGKILL);
        usleep(500);
    }
}

bool hold_alone(const struct hold *h)
{
    return h->group.count ? cgroup_processes(&h->group, NULL, 0) == 0 : descendants() == 0;
}
