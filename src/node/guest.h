/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A machine made of namespaces: its own users, mounts, processes, network and name over an image and a
 * disk that is kept. Root inside is nobody outside; no file of the host shows but the devices it is
 * given. Needs root, overlayfs and the programs `ip`, `nsenter`, `mount` and `mkfs.ext4` (for disks). */

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_USERS 65536u /* numbers from guest.users on that are its own */
#define GUEST_FOLDER "/var/lib/tessera" /* inside: the startup script and what was done */

struct guest_volume {
    const char *source; /* a folder; a disk: its file */
    const char *name;   /* seen as /mnt/NAME, a disk also as /dev/disk/by-id/virtio-NAME */
    bool disk;
    int64_t size_mib;   /* of a disk, which is made where it is not there */
};

/* Where it stands in the network of its node. */
struct guest_network {
    const char *bridge; /* name outside; it is made where it lacks */
    const char *address, *gateway; /* of a /24 */
};

struct guest {
    const char *image;  /* folder with `root` and `users` (tools/image) */
    const char *disk;   /* folder of what it changes; made where it lacks */
    const char *root;   /* where it is put together, seen in this mount namespace alone: a folder that anybody can reach */
    const char *id, *name, *region, *type;
    struct guest_network network;
    const struct str *keys; /* public ones, for root and ubuntu */
    size_t key_count;
    struct str startup_script; /* run once a disk */
    const struct guest_volume *volumes;
    size_t volume_count;
    const char *const *devices; /* files of /dev beside the usual ones */
    size_t device_count;
};

/* Whether this machine could: the image is there, and so are the programs and the kernel's
 * namespaces. -ENOENT and a reason. */
int guest_possible(const char *image, struct error *err);

/* When and why it has to leave. */
struct guest_notice {
    const char *status; /* STATUS_PREEMPTING or STATUS_RELOCATING */
    int64_t end_ms;     /* since 1970 */
};

/* What stands outside of a guest that runs. */
struct guest_handle {
    int process; /* its first process; the others end with it */
    int control; /* pipe to it */
};

/* Puts it together and starts it, in a mount namespace and a cgroup of the caller's own. Its output goes
 * to descriptors 1 and 2. */
int guest_start(const struct guest *guest, struct guest_handle *ret, struct error *err);
/* Waits until its login answers, for so long at most; -ETIMEDOUT, -ECHILD where it has ended. */
int guest_await_login(const struct guest *guest, const struct guest_handle *handle, int timeout_ms, struct error *err);
void guest_notify(const struct guest_handle *handle, const struct guest_notice *notice);
/* Asks all of it to end; the caller kills what stays. */
void guest_power_off(const struct guest_handle *handle);
/* Removes a bridge that nobody hangs on. False: somebody does. */
bool guest_bridge_remove(const char *bridge);
