/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a webhook is sent: an event in the form of Standard Webhooks (standardwebhooks.com), signed. */

#include "base/arena.h"
#include "base/buf.h"
#include "base/number.h"
#include "base/str.h"

/* Types that can be asked for, as the event stream names them; NULL-terminated. */
extern const char *const webhook_types[];
bool webhook_type_known(struct str type);

#define WEBHOOK_TEST_TYPE "test" /* of what `webhook test` sends */

/* "whsec_" and 32 bytes of the system's randomness in base64. */
struct str webhook_secret_make(struct arena *arena);

/* {"id", "type", "timestamp", "data"}; data: JSON. */
void webhook_body(struct buf *out, struct str id, struct str type, time_ms at, struct str data);

/* "v1,…": HMAC-SHA256 with the secret's bytes over `id.timestamp.body`; seconds since 1970. False: the
 * secret is not of the form that webhook_secret_make gives ("whsec_" may be left out). */
bool webhook_sign(struct str secret, struct str id, int64_t timestamp, struct str body, struct buf *out);
