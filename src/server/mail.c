/* SPDX-License-Identifier: Apache-2.0 */
#include "server/mail.h"

#include "wire/unit.h"

#include <time.h>

/* "workload_started" is "started" to people. */
static struct str short_type(struct str type)
{
    const struct str prefix = STR("workload_");
    return str_starts(type, prefix) ? (struct str){type.data + prefix.size, type.size - prefix.size} : type;
}

void mail_write(const struct api_event *event, struct buf *subject, struct buf *body)
{
    struct str name = event->name.size ? event->name : event->workload, what = short_type(event->type);
    buf_printf(subject, "%.*s: %.*s", STR_ARGS(name), STR_ARGS(what));
    buf_printf(body, "%.*s %.*s\n\n", STR_ARGS(name), STR_ARGS(event->text));
    buf_append_text(body, "when      ");
    time_print(body, event->at_ms);
    buf_printf(body, "\nproject   %.*s\nworkload  %.*s\n", STR_ARGS(event->project), STR_ARGS(event->workload));
    if (event->pool.size)
        buf_printf(body, "pool      %.*s\n", STR_ARGS(event->pool));
    if (event->deadline_ms && str_is(what, "preempting")) {
        buf_append_text(body, "until     ");
        time_print(body, event->deadline_ms);
        buf_append_byte(body, '\n');
    }
}

static void header(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "%s: ", name);
    for (size_t i = 0; i < value.size && i < 200; i++)
        buf_append_byte(out, value.data[i] >= ' ' && value.data[i] <= '~' ? value.data[i] : '?');
    buf_append_text(out, "\r\n");
}

/* "Thu, 01 Jan 2026 00:00:00 +0000" (RFC 5322), whatever the locale. */
static void date(struct buf *out, time_ms at)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)div_floor(at, 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    buf_printf(out, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d +0000\r\n", days + 3 * t.tm_wday, t.tm_mday, months + 3 * t.tm_mon,
               t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

void mail_compose(struct buf *out, const char *from, const struct outbox_item *item)
{
    _cleanup_buf_ struct buf sender = BUF_INIT(1024), id = BUF_INIT(1024);
    struct str domain = str_from(from);
    (void)str_cut(&domain, '@');
    buf_printf(&sender, "Tessera <%s>", from);
    buf_printf(&id, "<%.*s@%.*s>", STR_ARGS(item->id), STR_ARGS(domain));
    header(out, "From", buf_str(&sender));
    header(out, "To", item->recipient);
    header(out, "Subject", item->subject);
    date(out, item->at);
    header(out, "Message-ID", buf_str(&id));
    header(out, "Auto-Submitted", STR("auto-generated"));
    header(out, "MIME-Version", STR("1.0"));
    header(out, "Content-Type", STR("text/plain; charset=utf-8"));
    header(out, "Content-Transfer-Encoding", STR("8bit"));
    buf_append_text(out, "\r\n");
    struct str rest = item->body;
    while (rest.size) {
        struct str line = str_cut(&rest, '\n');
        buf_append(out, line.data, MIN(line.size, (size_t)900));
        buf_append_text(out, "\r\n");
    }
}
