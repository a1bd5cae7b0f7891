/* SPDX-License-Identifier: Apache-2.0 */
#include "server/webhook.h"

#include "base/check.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/unit.h"

#include <sodium.h>

#define SECRET_PREFIX "whsec_"
#define SECRET_SIZE 32
#define SECRET_MOST 1024

const char *const webhook_types[] = {"workload_started", "workload_preempting", "workload_finished", "workload_failed",
                                     "workload_cancelled", "budget", NULL};

bool webhook_type_known(struct str type)
{
    for (size_t i = 0; webhook_types[i]; i++)
        if (str_is(type, webhook_types[i]))
            return true;
    return false;
}

struct str webhook_secret_make(struct arena *arena)
{
    unsigned char bytes[SECRET_SIZE];
    _cleanup_buf_ struct buf text = BUF_INIT(SECRET_MOST);
    randombytes_buf(bytes, sizeof bytes);
    buf_append_text(&text, SECRET_PREFIX);
    base64_encode((struct str){(const char *)bytes, sizeof bytes}, &text);
    struct str kept = arena_str(arena, buf_str(&text));
    CHECK(kept.data);
    sodium_memzero(bytes, sizeof bytes);
    sodium_memzero(text.data, text.size);
    return kept;
}

void webhook_body(struct buf *out, struct str id, struct str type, time_ms at, struct str data)
{
    _cleanup_buf_ struct buf time = BUF_INIT(64);
    time_print(&time, at);
    json_open(out, '{');
    json_key(out, "id");
    json_string(out, id);
    json_key(out, "type");
    json_string(out, type);
    json_key(out, "timestamp");
    json_string(out, buf_str(&time));
    json_key(out, "data");
    json_raw(out, data);
    json_close(out, '}');
}

bool webhook_sign(struct str secret, struct str id, int64_t timestamp, struct str body, struct buf *out)
{
    struct arena arena = {.limit = 64 * 1024};
    struct str key;
    const struct str prefix = STR(SECRET_PREFIX);
    if (str_starts(secret, prefix))
        secret = (struct str){secret.data + prefix.size, secret.size - prefix.size};
    bool known = secret.size > 0 && secret.size <= SECRET_MOST && base64_decode(secret, &arena, &key);
    if (known) {
        crypto_auth_hmacsha256_state state;
        unsigned char digest[crypto_auth_hmacsha256_BYTES];
        _cleanup_buf_ struct buf head = BUF_INIT(1024);
        buf_printf(&head, "%.*s.%lld.", STR_ARGS(id), (long long)timestamp);
        crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.data, key.size);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)head.data, head.size);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)(body.data ? body.data : ""), body.size);
        crypto_auth_hmacsha256_final(&state, digest);
        buf_append_text(out, "v1,");
        base64_encode((struct str){(const char *)digest, sizeof digest}, out);
        sodium_memzero(&state, sizeof state);
    }
    arena_fini(&arena);
    return known;
}
