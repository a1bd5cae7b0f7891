/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Mail out, to one SMTP server, over libcurl. smtps speaks TLS from the first byte; smtp beyond loopback asks for
 * STARTTLS and goes no further without it; on loopback it is plain. */

#include "base/error.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>

struct mail_server; /* immutable: any thread may use it */

/* "smtp://user:password@host:port" or "smtps://…"; both are optional, and `password` (NULL: none) is taken where the URL
 * holds none. Copies all. -EINVAL: not such a URL; the text does not repeat it, for it may hold a password. */
int mail_server_new(struct mail_server **ret, const char *url, const char *password, struct error *err);
void mail_server_free(struct mail_server *s);

struct mail {
    const char *from, *to; /* addresses alone */
    struct str text;       /* header lines, an empty line, the body; lines end with CRLF */
};
/* 0: the server took it. -EREMOTEIO: it will not take this one (5xx); -ECANCELED: *stop became true; anything else may go
 * better later. */
int mail_send(const struct mail_server *s, const struct mail *mail, atomic_bool *stop, struct error *err);
