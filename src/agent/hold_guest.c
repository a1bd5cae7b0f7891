/* SPDX-License-Identifier: Apache-2.0 */
/* A replica that is a machine: this process stays outside of it, starts it, and passes on what the holder
 * says: SIGUSR1 and SIGUSR2 are notices, SIGTERM powers it off. */
#include "agent/hold_internal.h"

#include "base/clock.h"
#include "node/guest.h"
#include "node/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOT_MS 120000

static const char *text_of(struct hold *h, struct str text)
{
    return arena_str(&h->arena, text).data;
}

static const char *const *texts_of(struct hold *h, const struct record_list *list)
{
    const struct str *items = list->items;
    const char **texts = xcalloc(list->count + 1, sizeof *texts);
    for (size_t i = 0; i < list->count; i++)
        texts[i] = text_of(h, items[i]);
    return texts;
}

static const struct guest_volume *volumes_of(struct hold *h)
{
    const struct hold_volume *items = h->spec.guest.volumes.items;
    struct guest_volume *volumes = xcalloc(h->spec.guest.volumes.count + 1, sizeof *volumes);
    for (size_t i = 0; i < h->spec.guest.volumes.count; i++)
        volumes[i] = (struct guest_volume){text_of(h, items[i].source), text_of(h, items[i].name), items[i].disk, items[i].size_mib};
    return volumes;
}

static struct guest guest_of(struct hold *h)
{
    const struct hold_guest *g = &h->spec.guest;
    return (struct guest){.image = text_of(h, g->image), .disk = text_of(h, g->disk), .root = SANDBOX_HOME,
        .id = text_of(h, g->id), .name = text_of(h, g->name), .region = text_of(h, g->region), .type = text_of(h, g->type),
        .network = {text_of(h, g->bridge), text_of(h, g->address), text_of(h, g->gateway)},
        .keys = g->keys.items, .key_count = g->keys.count, .startup_script = g->startup_script,
        .volumes = volumes_of(h), .volume_count = g->volumes.count, .devices = texts_of(h, &g->devices), .device_count = g->devices.count};
}

/* When the holder will kill it, by the calendar: as the agent left it in the folder. */
static int64_t end_of(struct hold *h)
{
    struct hold_command command;
    struct arena arena = {0};
    struct error err;
    char folder[HOLD_PATH_MAX];
    int64_t end = clock_wall_ms() + h->spec.notice_ms;
    snprintf(folder, sizeof folder, "%.*s", STR_ARGS(h->spec.folder));
    if (hold_read(&hold_command_file, folder, &arena, &command, &err) == 0 && command.kill_at_boot_ms)
        end = clock_wall_ms() + command.kill_at_boot_ms - hold_now_ms();
    arena_fini(&arena);
    return end;
}

/* What it is told until its machine has ended. */
static void watch(struct hold *h, const struct guest_handle *machine, const sigset_t *signals)
{
    siginfo_t info;
    int status;
    for (;;) {
        if (sigwaitinfo(signals, &info) < 0)
            continue;
        if (info.si_signo == SIGTERM)
            guest_power_off(machine);
        else if (info.si_signo != SIGCHLD)
            guest_notify(machine, &(struct guest_notice){info.si_signo == SIGUSR2 ? "STATUS_RELOCATING" : "STATUS_PREEMPTING", end_of(h)});
        else if (waitpid(machine->process, &status, WNOHANG) == machine->process)
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

int hold_guest_run(struct hold *h, int problem, struct error *err)
{
    struct guest guest = guest_of(h);
    struct guest_handle machine;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGCHLD);
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int rc = guest_start(&guest, &machine, err);
    if (rc == 0)
        rc = guest_await_login(&guest, &machine, BOOT_MS, err);
    if (rc)
        return rc;
    close(problem);
    watch(h, &machine, &signals);
    return 0;
}
