/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a request: found whole or in pieces alike, parsed, every borrowed text read, and
 * what follows the head taken as a chunked body, whole and byte by byte. */

#include "base/memory.h"
#include "net/http_parse.h"

static uint64_t text_sum(struct str text)
{
    uint64_t sum = text.size;
    for (size_t i = 0; i < text.size; i++)
        sum += (unsigned char)text.data[i];
    return sum;
}

static uint64_t request_sum(const struct http_request *r)
{
    uint64_t sum = text_sum(r->path) + text_sum(r->host);
    CHECK(r->segment_count <= HTTP_SEGMENTS_MAX && r->query_count <= HTTP_QUERY_MAX);
    CHECK(r->header_count <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < r->segment_count; i++) {
        CHECK(r->segments[i].size > 0 && !str_is(r->segments[i], "..") &&
              !str_is(r->segments[i], "."));
        sum += text_sum(r->segments[i]);
    }
    for (size_t i = 0; i < r->query_count; i++)
        sum += text_sum(r->query[i].name) + text_sum(r->query[i].value);
    for (size_t i = 0; i < r->header_count; i++)
        sum += text_sum(r->headers[i].name) + text_sum(r->headers[i].value);
    return sum + text_sum(http_request_header(r, "accept")) +
           text_sum(http_request_cookie(r, "sid")) + text_sum(http_request_query(r, "a"));
}

static size_t head_end_by_bytes(struct str text)
{
    size_t searched = 0, end = 0;
    for (size_t size = 1; size <= text.size && end == 0; size++)
        end = http_head_end((struct str){text.data, size}, &searched);
    return end;
}

/* The decoded body's sum and size; *ret_rc and *ret_state say how it ended. */
static uint64_t chunks_sum(struct str text, size_t step, int *ret_rc,
                           enum http_chunk_state *ret_state)
{
    struct http_chunks chunks = {0};
    uint64_t sum = 0;
    int rc = 0;
    for (size_t at = 0; at < text.size && rc == 0 && chunks.state != CHUNK_DONE; at += step) {
        struct str in = {text.data + at, MIN(step, text.size - at)};
        while (rc == 0 && in.size > 0 && chunks.state != CHUNK_DONE) {
            struct str piece;
            rc = http_chunks_next(&chunks, &in, &piece);
            if (rc == 0)
                sum += text_sum(piece) - piece.size;
        }
    }
    *ret_rc = rc;
    *ret_state = chunks.state;
    return sum;
}

static void check_chunks(struct str text)
{
    int rc, again;
    enum http_chunk_state state, other;
    uint64_t sum = chunks_sum(text, text.size + 1, &rc, &state);
    CHECK(chunks_sum(text, 1, &again, &other) == sum && rc == again && state == other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    size_t searched = 0, end = http_head_end(text, &searched);
    CHECK(end == head_end_by_bytes(text));
    check_chunks(end ? (struct str){text.data + end, size - end} : text);
    struct http_request *r = xcalloc(1, sizeof *r);
    struct http_head head;
    struct http_refusal refusal;
    /* a copy of just the head, so that reading past it is seen */
    char *copy = xmalloc(end + !end);
    memcpy(copy, text.data, end);
    if (end && http_parse_head((struct str){copy, end}, r, &head, &refusal) == 0) {
        request_sum(r);
        CHECK(!(head.chunked && head.content_length));
    } else if (end) {
        CHECK(refusal.status >= 400 && refusal.why);
    }
    arena_fini(&r->arena);
    xfree(r);
    xfree(copy);
    return 0;
}
