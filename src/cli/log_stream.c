/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log_stream.h"

#include "cli/api_call.h"

#include <errno.h>
#include <stdio.h>

static int take_piece(void *context, struct str piece)
{
    struct log_stream *log = context;
    if (log->stop && atomic_load(log->stop))
        return 1;
    if (piece.size == 0)
        return 0;
    fwrite(piece.data, 1, piece.size, stdout);
    log->offset += (int64_t)piece.size;
    atomic_store(&log->in_line, piece.data[piece.size - 1] != '\n');
    return cli_flush(EXIT_OK);
}

static void write_path(const struct log_stream *log, bool follow, struct buf *out)
{
    buf_append_text(out, "/v1/workloads/");
    http_escape(out, str_from(log->workload));
    buf_printf(out, "/logs?rank=%lld&offset=%lld", (long long)log->rank, (long long)log->offset);
    if (log->attempt)
        buf_printf(out, "&attempt=%lld", (long long)log->attempt);
    if (follow)
        buf_append_text(out, "&follow=1");
}

enum log_end log_stream_read(struct log_stream *log, bool follow, int *ret_exit)
{
    _cleanup_(http_reply_fini) struct http_reply reply = {};
    _cleanup_buf_ struct buf path = BUF_INIT(64 * 1024);
    struct error err = {};
    write_path(log, follow, &path);
    struct http_call call = {
        .path = buf_text(&path), .timeout_ms = -1, .sink = take_piece, .sink_context = log};
    int rc = http_client_call(log->client, &call, &reply, &err);
    if (rc == -ECONNREFUSED || rc == -ETIMEDOUT || rc == -ECANCELED)
        return LOG_LOST;
    if (rc == 0 && reply.status / 100 == 2)
        return LOG_CLOSED;
    if (rc == 0 && (reply.status == 404 || reply.status == 429 || reply.status == 503)) {
        *ret_exit = reply.status == 404 ? EXIT_NOT_FOUND : EXIT_UNREACHABLE;
        return LOG_ABSENT;
    }
    *ret_exit =
        rc < 0 ? api_unreached(log->cli, rc, &err) : api_refused(log->cli, &reply, log->workload);
    return LOG_FAILED;
}
