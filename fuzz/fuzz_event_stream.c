/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as server-sent events: cut anywhere they give the same events, and an event that is
 * written again is read back the same. */

#include "base/check.h"
#include "base/hash.h"
#include "net/event_stream.h"

struct seen {
    uint64_t digest;
    unsigned count;
    bool again;
};

static int remember(void *context, const struct stream_event *event);

/* A data line cannot hold a CR and an id no zero byte, and the reader never gives one. */
static void check_round_trip(const struct stream_event *event)
{
    struct buf text = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct seen first = {.again = true}, second = {.again = true};
    event_stream_format(&text, event->id, event->type, event->data);
    struct event_stream s = {0};
    CHECK(event_stream_feed(&s, buf_str(&text), remember, &second) == 0);
    remember(&first, event);
    CHECK(second.count == 1);
    bool cut = event->type.size && memchr(event->type.data, '\0', event->type.size);
    CHECK(cut || first.digest == second.digest);
    event_stream_fini(&s);
    buf_fini(&text);
}

static int remember(void *context, const struct stream_event *event)
{
    struct seen *seen = context;
    struct str parts[] = {event->id, event->type, event->data};
    for (size_t i = 0; i < 3; i++)
        seen->digest = digest_add(seen->digest + parts[i].size, parts[i].data ? parts[i].data : "",
                                  parts[i].size);
    seen->count++;
    if (!seen->again)
        check_round_trip(event);
    return 0;
}

static struct seen read_all(struct str text, size_t step, int *ret_rc)
{
    struct seen seen = {0};
    struct event_stream s = {.limit = 4096};
    *ret_rc = 0;
    for (size_t at = 0; at < text.size && *ret_rc == 0; at += step)
        *ret_rc = event_stream_feed(
            &s, (struct str){text.data + at, step < text.size - at ? step : text.size - at},
            remember, &seen);
    event_stream_fini(&s);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    int whole_rc, bytes_rc;
    struct seen whole = read_all(text, size + 1, &whole_rc), bytes = read_all(text, 1, &bytes_rc);
    CHECK(whole_rc == bytes_rc && whole.count == bytes.count && whole.digest == bytes.digest);
    return 0;
}
