/* SPDX-License-Identifier: Apache-2.0 */
#include "net/event_stream.h"

#include "base/number.h"

#include <errno.h>

#define LIMIT_DEFAULT ((size_t)1024 * 1024)
#define RETRY_MAX_MS ((int64_t)3600 * 1000)

/* ---- writing ---- */

/* Up to where a line would end. */
static struct str one_line(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\n' || text.data[i] == '\r' || text.data[i] == '\0')
            return (struct str){text.data, i};
    return text;
}

static void append_field(struct buf *out, const char *prefix, struct str value)
{
    buf_append_text(out, prefix);
    buf_append_str(out, value);
    buf_append_byte(out, '\n');
}

/* A line for each line of the text: CR, LF and CRLF all end one. */
static void append_lines(struct buf *out, const char *prefix, struct str text)
{
    while (true) {
        size_t size = 0;
        while (size < text.size && text.data[size] != '\n' && text.data[size] != '\r')
            size++;
        append_field(out, prefix, (struct str){text.data, size});
        if (size == text.size)
            return;
        bool crlf = text.data[size] == '\r' && size + 1 < text.size && text.data[size + 1] == '\n';
        size += crlf ? 2 : 1;
        text = (struct str){text.data + size, text.size - size};
    }
}

void event_stream_format(struct buf *out, struct str id, struct str type, struct str data)
{
    if (id.size)
        append_field(out, "id: ", one_line(id));
    if (type.size)
        append_field(out, "event: ", one_line(type));
    append_lines(out, "data: ", data);
    buf_append_byte(out, '\n');
}

void event_stream_format_comment(struct buf *out, struct str text)
{
    append_lines(out, ": ", text);
    buf_append_byte(out, '\n');
}

void event_stream_format_retry(struct buf *out, int retry_ms)
{
    buf_printf(out, "retry: %d\n\n", retry_ms);
}

/* ---- reading ---- */

static void take_retry(struct event_stream *s, struct str value)
{
    int64_t ms = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return;
        ms = MIN(ms * 10 + (value.data[i] - '0'), RETRY_MAX_MS);
    }
    if (value.size > 0)
        s->retry_ms = ms;
}

static void take_field(struct event_stream *s, struct str line)
{
    struct str value = line, name = str_cut(&value, ':');
    if (value.size > 0 && value.data[0] == ' ')
        value.data++, value.size--;
    if (str_is(name, "data")) {
        if (s->data_seen)
            buf_append_byte(&s->data, '\n');
        buf_append_str(&s->data, value);
        s->data_seen = true;
    } else if (str_is(name, "event")) {
        buf_clear(&s->type);
        buf_append_str(&s->type, value);
    } else if (str_is(name, "id")) {
        if (value.size && memchr(value.data, '\0', value.size))
            return;
        buf_clear(&s->next_id);
        buf_append_str(&s->next_id, value);
        s->next_id_seen = true;
    } else if (str_is(name, "retry")) {
        take_retry(s, value);
    }
}

static int dispatch(struct event_stream *s, event_stream_callback *callback, void *context)
{
    if (s->next_id_seen) {
        struct buf id = s->id;
        s->id = s->next_id;
        s->next_id = id;
        s->next_id_seen = false;
    }
    int rc = 0;
    if (s->data_seen) {
        struct stream_event event = {
            .id = buf_str(&s->id),
            .type = s->type.size ? buf_str(&s->type) : STR("message"),
            .data = {buf_text(&s->data), s->data.size},
        };
        rc = callback(context, &event);
    }
    buf_clear(&s->data);
    buf_clear(&s->type);
    s->data_seen = false;
    return rc;
}

static int take_line(struct event_stream *s, event_stream_callback *callback, void *context)
{
    struct str line = buf_str(&s->line);
    if (!s->bom_checked && str_starts(line, STR("\xEF\xBB\xBF")))
        line.data += 3, line.size -= 3;
    s->bom_checked = true;
    int rc = 0;
    if (line.size == 0)
        rc = dispatch(s, callback, context);
    else if (line.data[0] != ':')
        take_field(s, line);
    buf_clear(&s->line);
    return rc;
}

/* Whether what has been gathered is within the limit. */
static bool fits(const struct event_stream *s, size_t more)
{
    size_t limit = s->limit ? s->limit : LIMIT_DEFAULT,
           held = s->line.size + s->data.size + s->type.size;
    held += s->next_id.size;
    return held <= limit && more <= limit - held;
}

static void set_limits(struct event_stream *s)
{
    struct buf *all[] = {&s->line, &s->data, &s->type, &s->id, &s->next_id};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        all[i]->limit = BUF_LIMIT_DEFAULT; /* `fits` holds the sum of them */
}

int event_stream_feed(struct event_stream *s, struct str piece, event_stream_callback *callback,
                      void *context)
{
    set_limits(s);
    while (piece.size > 0) {
        if (s->last_was_cr && piece.data[0] == '\n') {
            s->last_was_cr = false;
            piece.data++, piece.size--;
            continue;
        }
        s->last_was_cr = false;
        size_t size = 0;
        while (size < piece.size && piece.data[size] != '\n' && piece.data[size] != '\r')
            size++;
        if (!fits(s, size))
            return -EMSGSIZE;
        buf_append(&s->line, piece.data, size);
        bool ended = size < piece.size;
        if (ended)
            s->last_was_cr = piece.data[size++] == '\r';
        piece = (struct str){piece.data + size, piece.size - size};
        int rc = ended ? take_line(s, callback, context) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

void event_stream_restart(struct event_stream *s)
{
    buf_clear(&s->line);
    buf_clear(&s->data);
    buf_clear(&s->type);
    buf_clear(&s->next_id);
    s->data_seen = s->next_id_seen = s->last_was_cr = s->bom_checked = false;
}

void event_stream_fini(struct event_stream *s)
{
    buf_fini(&s->line);
    buf_fini(&s->data);
    buf_fini(&s->type);
    buf_fini(&s->id);
    buf_fini(&s->next_id);
    *s = (struct event_stream){.limit = s->limit};
}
