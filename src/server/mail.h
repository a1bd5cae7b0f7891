/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a mail about a workload says. */

#include "records/api.h"
#include "server/outbox.h"

/* One line, and the text beneath it, for the one who is told; lines end with "\n". */
void mail_write(const struct api_event *event, struct buf *subject, struct buf *body);
/* The whole of it, with CRLF: header lines and the item's body. What does not belong into a header line becomes "?". */
void mail_compose(struct buf *out, const char *from, const struct outbox_item *item);
