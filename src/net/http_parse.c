/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_parse.h"

#include "base/memory.h"

#include <errno.h>
#include <strings.h>

#define CHUNK_DIGITS_MAX 12
#define CHUNK_OVERHEAD_MAX 8192

static int refuse(struct http_refusal *refusal, int status, const char *why)
{
    *refusal = (struct http_refusal){status, why};
    return -EPROTO;
}

static const struct {
    struct str name;
    enum http_method method;
} methods[] = {
    {{"GET", 3}, HTTP_GET},         {{"POST", 4}, HTTP_POST},   {{"PUT", 3}, HTTP_PUT},
    {{"HEAD", 4}, HTTP_HEAD},       {{"PATCH", 5}, HTTP_PATCH}, {{"DELETE", 6}, HTTP_DELETE},
    {{"OPTIONS", 7}, HTTP_OPTIONS},
};

const char *http_method_name(enum http_method method)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (methods[i].method == method)
            return methods[i].name.data;
    return "";
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not"
              " Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

size_t http_head_end(struct str bytes, size_t *searched)
{
    size_t from = *searched < 3 ? 0 : *searched - 3;
    *searched = bytes.size;
    const char *end =
        bytes.size > from ? memmem(bytes.data + from, bytes.size - from, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - bytes.data) + 4 : 0;
}

/* RFC 9110 section 5.6.2. */
static bool is_token_byte(unsigned char c)
{
    static const bool table[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true,
    };
    return table[c];
}

static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!is_token_byte((unsigned char)text.data[i]))
            return false;
    return text.size > 0;
}

static bool is_field_value(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < ' ' && c != '\t') || c == 127)
            return false;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t http_percent_decode(char *to, struct str text, bool plus_is_space)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
            if (low < 0)
                return SIZE_MAX;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        to[size++] = c;
    }
    return size;
}

/* The text itself where nothing is encoded, else a copy in the arena. */
static bool decode(struct arena *arena, struct str text, bool plus_is_space, struct str *ret)
{
    *ret = text;
    if (text.size == 0)
        return true;
    bool encoded =
        memchr(text.data, '%', text.size) || (plus_is_space && memchr(text.data, '+', text.size));
    if (!encoded)
        return true;
    char *copy = arena_alloc(arena, text.size);
    size_t size = copy ? http_percent_decode(copy, text, plus_is_space) : SIZE_MAX;
    *ret = (struct str){copy, size};
    return size != SIZE_MAX && memchr(copy, '\0', size) == NULL;
}

static bool segment_ok(struct str segment)
{
    if (segment.size == 0 || str_is(segment, ".") || str_is(segment, ".."))
        return false;
    for (size_t i = 0; i < segment.size; i++)
        if ((unsigned char)segment.data[i] < ' ' || segment.data[i] == 127)
            return false;
    return true;
}

static int parse_path(struct http_request *r, struct http_refusal *refusal)
{
    struct str rest = r->path;
    if (rest.size == 0 || rest.data[0] != '/')
        return refuse(refusal, 400, "the request target must begin with /");
    rest.data++, rest.size--;
    while (rest.size > 0) {
        if (r->segment_count == HTTP_SEGMENTS_MAX)
            return refuse(refusal, 400, "the path has more than 16 segments");
        struct str *segment = &r->segments[r->segment_count];
        if (!decode(&r->arena, str_cut(&rest, '/'), false, segment) || !segment_ok(*segment))
            return refuse(refusal, 400, "a segment of the path is empty, dots or badly encoded");
        r->segment_count++;
    }
    return 0;
}

static int parse_query(struct http_request *r, struct str rest, struct http_refusal *refusal)
{
    while (rest.size > 0) {
        struct str value = str_cut(&rest, '&');
        if (value.size == 0)
            continue;
        if (r->query_count == HTTP_QUERY_MAX)
            return refuse(refusal, 400, "the query has more than 32 parameters");
        struct http_pair *pair = &r->query[r->query_count++];
        struct str name = str_cut(&value, '=');
        if (!decode(&r->arena, name, true, &pair->name) ||
            !decode(&r->arena, value, true, &pair->value))
            return refuse(refusal, 400, "the query is badly encoded");
        if (pair->value.data == NULL) /* present, though empty */
            pair->value.data = "";
    }
    return 0;
}

static int parse_target(struct http_request *r, struct str target, struct http_refusal *refusal)
{
    for (size_t i = 0; i < target.size; i++)
        if ((unsigned char)target.data[i] <= ' ' || (unsigned char)target.data[i] >= 127)
            return refuse(refusal, 400, "the request target holds a byte that must be encoded");
    if (memchr(target.data, '#', target.size))
        return refuse(refusal, 400, "the request target holds a fragment");
    if (str_starts(target, STR("http://")) || str_starts(target, STR("https://"))) {
        /* absolute-form, as to a proxy: Host stands for its authority */
        const char *authority = memchr(target.data, ':', target.size);
        struct str rest = {authority + 3, target.size - (size_t)(authority + 3 - target.data)};
        const char *slash = memchr(rest.data, '/', rest.size);
        if (slash == NULL)
            return refuse(refusal, 400, "the request target must have a path");
        target = (struct str){slash, rest.size - (size_t)(slash - rest.data)};
    }
    struct str query = target;
    r->path = str_cut(&query, '?');
    int rc = parse_path(r, refusal);
    return rc ? rc : parse_query(r, query, refusal);
}

static int parse_request_line(struct http_request *r, struct str line, struct http_head *head,
                              struct http_refusal *refusal)
{
    struct str rest = line, method = str_cut(&rest, ' '), target = str_cut(&rest, ' ');
    if (!is_token(method) || target.size == 0)
        return refuse(refusal, 400, "the request line is malformed");
    head->version_1_0 = str_is(rest, "HTTP/1.0");
    head->keep_alive = !head->version_1_0;
    if (!head->version_1_0 && !str_is(rest, "HTTP/1.1"))
        return str_starts(rest, STR("HTTP/")) && rest.size == 8
                   ? refuse(refusal, 505, "the version must be HTTP/1.1")
                   : refuse(refusal, 400, "the request line is malformed");
    size_t i = 0;
    while (i < ARRAY_COUNT(methods) && !str_equal(methods[i].name, method))
        i++;
    if (i == ARRAY_COUNT(methods))
        return refuse(refusal, 501,
                      "the method is not one of GET HEAD POST PUT PATCH DELETE OPTIONS");
    r->method = methods[i].method;
    return parse_target(r, target, refusal);
}

static bool name_is(struct str name, const char *other, size_t size)
{
    return name.size == size && strncasecmp(name.data, other, size) == 0;
}
#define NAME_IS(name, literal) name_is(name, literal, sizeof(literal) - 1)

/* Digits alone: no sign, no list. */
static bool parse_length(struct str text, uint64_t *ret)
{
    *ret = 0;
    if (text.size == 0 || text.size > 18)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(text.data[i] - '0');
    }
    return true;
}

static void parse_connection(struct str value, struct http_head *head)
{
    while (value.size > 0)
        if (NAME_IS(str_trim(str_cut(&value, ',')), "close"))
            head->keep_alive = false;
}

/* Those that decide how the connection goes on. */
struct framing {
    bool length_seen, host_seen;
};

static int note_header(struct http_request *r, struct http_pair header, struct http_head *head,
                       struct framing *seen, struct http_refusal *refusal)
{
    if (NAME_IS(header.name, "content-length")) {
        if (seen->length_seen || !parse_length(header.value, &head->content_length))
            return refuse(refusal, 400, "Content-Length must be one number");
        seen->length_seen = true;
    } else if (NAME_IS(header.name, "transfer-encoding")) {
        if (head->chunked)
            return refuse(refusal, 400, "Transfer-Encoding may stand once");
        if (!NAME_IS(header.value, "chunked"))
            return refuse(refusal, 501, "the only Transfer-Encoding is chunked");
        head->chunked = true;
    } else if (NAME_IS(header.name, "host")) {
        if (seen->host_seen)
            return refuse(refusal, 400, "Host may stand once");
        seen->host_seen = true;
        r->host = header.value;
    } else if (NAME_IS(header.name, "connection")) {
        parse_connection(header.value, head);
    } else if (NAME_IS(header.name, "expect")) {
        if (!NAME_IS(header.value, "100-continue"))
            return refuse(refusal, 417, "the only expectation is 100-continue");
        head->expects_continue = true;
    }
    return 0;
}

static int parse_headers(struct http_request *r, struct str rest, struct http_head *head,
                         struct http_refusal *refusal)
{
    struct framing seen = {0};
    while (rest.size > 0) {
        const char *end = memmem(rest.data, rest.size, "\r\n", 2);
        if (end == NULL)
            return refuse(refusal, 400, "a header line does not end in CRLF");
        struct str value = {rest.data, (size_t)(end - rest.data)};
        rest = (struct str){end + 2, rest.size - value.size - 2};
        const char *colon = value.size ? memchr(value.data, ':', value.size) : NULL;
        struct str name = str_cut(&value, ':');
        if (colon == NULL || !is_token(name) || !is_field_value(value))
            return refuse(refusal, 400, "a header line is malformed");
        value = str_trim(value);
        if (r->header_count == HTTP_HEADERS_MAX)
            return refuse(refusal, 431, "there are more than 64 headers");
        if (value.data == NULL)
            value.data = "";
        struct http_pair header = {name, value};
        r->headers[r->header_count++] = header;
        int rc = note_header(r, header, head, &seen, refusal);
        if (rc)
            return rc;
    }
    if (head->chunked && (seen.length_seen || head->version_1_0))
        return refuse(refusal, 400, "Transfer-Encoding excludes Content-Length and HTTP/1.0");
    if (!seen.host_seen)
        return refuse(refusal, 400, "the Host header is missing");
    return 0;
}

int http_parse_head(struct str bytes, struct http_request *r, struct http_head *ret,
                    struct http_refusal *refusal)
{
    *ret = (struct http_head){0};
    r->segment_count = r->query_count = r->header_count = 0;
    r->host = (struct str){0};
    const char *end = bytes.size ? memmem(bytes.data, bytes.size, "\r\n", 2) : NULL;
    if (end == NULL || bytes.size < 4)
        return refuse(refusal, 400, "the request line does not end in CRLF");
    struct str line = {bytes.data, (size_t)(end - bytes.data)};
    int rc = parse_request_line(r, line, ret, refusal);
    if (rc)
        return rc;
    /* without the empty line */
    struct str headers = {end + 2, bytes.size - line.size - 2 - 2};
    return parse_headers(r, headers, ret, refusal);
}

/* One byte of chunk framing. */
static int chunk_byte(struct http_chunks *c, char byte)
{
    int digit;
    switch (c->state) {
    case CHUNK_SIZE:
        digit = hex_digit(byte);
        if (digit >= 0) {
            c->left = c->left * 16 + (uint64_t)digit;
            return ++c->digits <= CHUNK_DIGITS_MAX ? 0 : -EPROTO;
        }
        c->state = byte == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return c->digits > 0 && (byte == '\r' || byte == ';' || byte == ' ') ? 0 : -EPROTO;
    case CHUNK_EXTENSION:
        if (byte == '\r')
            c->state = CHUNK_SIZE_LF;
        return byte != '\n' && ++c->overhead <= CHUNK_OVERHEAD_MAX ? 0 : -EPROTO;
    case CHUNK_SIZE_LF:
        c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
        c->digits = 0;
        return byte == '\n' ? 0 : -EPROTO;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return byte == '\r' ? 0 : -EPROTO;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        return byte == '\n' ? 0 : -EPROTO;
    case CHUNK_TRAILER_START:
        c->state = byte == '\r' ? CHUNK_END_LF : CHUNK_TRAILER;
        return byte != '\n' && ++c->overhead <= CHUNK_OVERHEAD_MAX ? 0 : -EPROTO;
    case CHUNK_TRAILER:
        if (byte == '\r')
            c->state = CHUNK_TRAILER_LF;
        return byte != '\n' && ++c->overhead <= CHUNK_OVERHEAD_MAX ? 0 : -EPROTO;
    case CHUNK_TRAILER_LF:
        c->state = CHUNK_TRAILER_START;
        return byte == '\n' ? 0 : -EPROTO;
    case CHUNK_END_LF:
        c->state = CHUNK_DONE;
        return byte == '\n' ? 0 : -EPROTO;
    case CHUNK_DATA:
    case CHUNK_DONE:
        break;
    }
    CHECK(false);
}

int http_chunks_next(struct http_chunks *c, struct str *in, struct str *piece)
{
    *piece = (struct str){0};
    while (in->size > 0 && c->state != CHUNK_DONE) {
        if (c->state == CHUNK_DATA) {
            size_t size = (size_t)MIN(c->left, (uint64_t)in->size);
            *piece = (struct str){in->data, size};
            *in = (struct str){in->data + size, in->size - size};
            c->left -= size;
            if (c->left == 0)
                c->state = CHUNK_DATA_CR;
            return 0;
        }
        char byte = in->data[0];
        in->data++, in->size--;
        int rc = chunk_byte(c, byte);
        if (rc)
            return rc;
    }
    return 0;
}

struct str http_request_header(const struct http_request *r, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < r->header_count; i++)
        if (name_is(r->headers[i].name, name, size))
            return r->headers[i].value;
    return (struct str){0};
}

struct str http_request_query(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->query_count; i++)
        if (str_is(r->query[i].name, name))
            return r->query[i].value;
    return (struct str){0};
}

struct str http_request_cookie(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++) {
        struct str rest = r->headers[i].value;
        if (!NAME_IS(r->headers[i].name, "cookie"))
            continue;
        while (rest.size > 0) {
            struct str value = str_trim(str_cut(&rest, ';'));
            if (str_is(str_cut(&value, '='), name))
                return (struct str){value.data ? value.data : "", value.size};
        }
    }
    return (struct str){0};
}
