/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* HTTP/1.1 as bytes (RFC 9112), strictly: lines end in CRLF, names are tokens, what could be read
 * in two ways is refused. No I/O here; everything stands on the caller's bytes. */

#include "net/http_server.h"

/* What the server must know of a head and its handler need not. */
struct http_head {
    bool keep_alive;
    bool version_1_0;
    bool expects_continue;
    bool chunked;
    uint64_t content_length; /* 0 where chunked or absent */
};

/* Why bytes were refused. */
struct http_refusal {
    int status;      /* 4xx or 5xx */
    const char *why; /* one line for the client; static */
};

/* Bytes up to and with the empty line that ends the head, 0 while it is not there. `*searched`
 * (0 at first) remembers how far earlier calls looked. */
size_t http_head_end(struct str bytes, size_t *searched);

/* Parses a head of exactly those bytes into r and *ret. Slices point into the bytes or r->arena.
 * Returns 0 or -EPROTO with *refusal. */
int http_parse_head(struct str bytes, struct http_request *r, struct http_head *ret,
                    struct http_refusal *refusal);

/* Decodes %XX (and '+' where asked) into `to`, which has room for text.size bytes; the size, or
 * SIZE_MAX where a %XX is broken. */
size_t http_percent_decode(char *to, struct str text, bool plus_is_space);

/* The chunked coding. */
enum http_chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
};
struct http_chunks {
    enum http_chunk_state state;
    uint64_t left;     /* of the chunk */
    unsigned digits;   /* of its size seen */
    unsigned overhead; /* bytes of extensions and trailers so far */
};
/* Eats bytes of *in up to the next piece of the body, which becomes *piece (empty: *in is used up
 * or the body ends, see state CHUNK_DONE). 0 or -EPROTO. */
int http_chunks_next(struct http_chunks *c, struct str *in, struct str *piece);

/* The reason phrase. */
const char *http_status_text(int status);
