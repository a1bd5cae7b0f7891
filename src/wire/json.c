/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/json.h"

#include "base/memory.h"

#include <errno.h>
#include <string.h>

void json_skip_space(struct json_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

static bool fail(struct json_scan *s, const char *problem)
{
    if (s->problem == NULL)
        s->problem = problem;
    return false;
}

bool json_take(struct json_scan *s, char byte)
{
    json_skip_space(s);
    if (s->at == s->end || *s->at != byte)
        return false;
    s->at++;
    return true;
}

/* Length of the UTF-8 sequence at `at`, 0 where it is not valid (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    unsigned char first = at[0];
    if (first < 0x80)
        return first ? 1 : 0;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < size)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

bool utf8_valid(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_sequence(at + i, text.size - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

static bool scan_hex4(struct json_scan *s, unsigned *ret)
{
    unsigned code = 0;
    if (s->end - s->at < 4)
        return fail(s, "an escape is cut short");
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit > 15)
            return fail(s, "an escape is not hexadecimal");
        code = code << 4 | digit;
    }
    *ret = code;
    return true;
}

static size_t utf8_write(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(heads[size] | code);
    return size;
}

static bool scan_unicode_escape(struct json_scan *s, char *out, size_t *size)
{
    unsigned code, low;
    if (!scan_hex4(s, &code))
        return false;
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail(s, "a surrogate stands alone");
    if (code >= 0xd800 && code <= 0xdbff) {
        if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
            return fail(s, "a surrogate stands alone");
        s->at += 2;
        if (!scan_hex4(s, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(s, "a surrogate stands alone");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code == 0)
        return fail(s, "a NUL character is not allowed");
    *size += utf8_write(out + *size, code);
    return true;
}

static bool scan_escape(struct json_scan *s, char *out, size_t *size)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end)
        return fail(s, "a string does not end");
    char c = *s->at++;
    if (c == 'u')
        return scan_unicode_escape(s, out, size);
    const char *found = c ? strchr(names, c) : NULL;
    if (found == NULL)
        return fail(s, "an escape is unknown");
    out[(*size)++] = values[found - names];
    return true;
}

/* The rest of a string that has an escape; what it says is never longer than its text. */
static bool scan_escaped(struct json_scan *s, const char *start, struct str *ret)
{
    const char *stop = s->at;
    while (stop < s->end && *stop != '"')
        stop += *stop == '\\' && stop + 1 < s->end ? 2 : 1;
    char *out = arena_alloc(s->arena, (size_t)(stop - start) + 4);
    if (out == NULL)
        return fail(s, "too much text");
    size_t size = (size_t)(s->at - start);
    memcpy(out, start, size);
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at++;
        if (c < 0x20)
            return fail(s, "a control character in a string must be escaped");
        if (c != '\\')
            out[size++] = (char)c;
        else if (!scan_escape(s, out, &size))
            return false;
    }
    if (s->at == s->end)
        return fail(s, "a string does not end");
    s->at++;
    *ret = (struct str){out, size};
    return utf8_valid(*ret) || fail(s, "a string is not valid UTF-8");
}

bool json_scan_string(struct json_scan *s, struct str *ret)
{
    json_skip_space(s);
    if (s->at == s->end || *s->at != '"')
        return fail(s, "expected a string");
    const char *start = ++s->at;
    unsigned char high = 0;
    for (; s->at < s->end; s->at++) {
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            *ret = (struct str){start, (size_t)(s->at - start)};
            s->at++;
            return high < 0x80 || utf8_valid(*ret) || fail(s, "a string is not valid UTF-8");
        }
        if (c == '\\')
            return scan_escaped(s, start, ret);
        if (c < 0x20)
            return fail(s, "a control character in a string must be escaped");
        high |= c;
    }
    return fail(s, "a string does not end");
}

/* The extent of a number by the grammar of RFC 8259; NULL where there is none. */
static const char *number_end(const char *at, const char *end, bool *ret_integer)
{
    const char *p = at;
    *ret_integer = true;
    if (p < end && *p == '-')
        p++;
    if (p == end || *p < '0' || *p > '9')
        return NULL;
    if (*p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9')
        return NULL;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    if (p < end && *p == '.') {
        *ret_integer = false;
        const char *digits = ++p;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
        if (p == digits)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *ret_integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *digits = p;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
        if (p == digits)
            return NULL;
    }
    return p;
}

bool json_scan_integer(struct json_scan *s, int64_t *ret)
{
    bool integer;
    json_skip_space(s);
    const char *end = number_end(s->at, s->end, &integer);
    if (end == NULL)
        return fail(s, "expected an integer");
    if (!integer)
        return fail(s, "expected an integer, without fraction or exponent");
    if (!str_to_i64((struct str){s->at, (size_t)(end - s->at)}, ret))
        return fail(s, "the number is too large");
    s->at = end;
    return true;
}

static bool take_word(struct json_scan *s, const char *word)
{
    size_t size = strlen(word);
    json_skip_space(s);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
        return false;
    s->at += size;
    return true;
}

bool json_scan_bool(struct json_scan *s, bool *ret)
{
    *ret = take_word(s, "true");
    return *ret || take_word(s, "false") || fail(s, "expected true or false");
}

bool json_scan_null(struct json_scan *s)
{
    return take_word(s, "null");
}

static bool skip_members(struct json_scan *s, unsigned depth, char closing)
{
    struct str ignored;
    if (json_take(s, closing))
        return true;
    do {
        if (closing == '}' && (!json_scan_string(s, &ignored) || !json_take(s, ':')))
            return fail(s, "expected a member");
        if (!json_scan_any(s, &ignored, depth + 1))
            return false;
    } while (json_take(s, ','));
    return json_take(s, closing) || fail(s, "expected a comma or the end");
}

bool json_scan_any(struct json_scan *s, struct str *ret, unsigned depth)
{
    json_skip_space(s);
    const char *start = s->at;
    bool ok, flag;
    struct str text;
    if (depth > JSON_DEPTH_MAX)
        return fail(s, "nested too deeply");
    if (s->at == s->end)
        return fail(s, "expected a value");
    char c = *s->at;
    if (c == '"') {
        ok = json_scan_string(s, &text);
    } else if (c == '{' || c == '[') {
        s->at++;
        ok = skip_members(s, depth, c == '{' ? '}' : ']');
    } else if (c == 't' || c == 'f') {
        ok = json_scan_bool(s, &flag);
    } else if (c == 'n') {
        ok = json_scan_null(s) || fail(s, "expected a value");
    } else {
        const char *end = number_end(s->at, s->end, &flag);
        ok = end != NULL || fail(s, "expected a value");
        s->at = end ? end : s->at;
    }
    *ret = (struct str){start, (size_t)(s->at - start)};
    return ok;
}

/* ---- writer --------------------------------------------------------------------------------------- */

static void comma(struct buf *out)
{
    char last = out->size ? out->data[out->size - 1] : '[';
    if (last != '{' && last != '[' && last != ':' && last != '\n')
        buf_append_byte(out, ',');
}

void json_open(struct buf *out, char bracket)
{
    comma(out);
    buf_append_byte(out, bracket);
}

void json_close(struct buf *out, char bracket)
{
    buf_append_byte(out, bracket);
}

/* Whether one of eight bytes must be escaped: below 32, a quote or a backslash. `x - n * ONES & ~x & HIGHS` is
 * not 0 exactly where a byte of x is less than n (Anderson, "Bit Twiddling Hacks", hasless). */
static bool word_escapes(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = x ^ '"' * ones, slash = x ^ '\\' * ones;
    return (((x - 32 * ones) & ~x) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs;
}

static bool text_escapes(struct str text)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= text.size; i += sizeof word) {
        memcpy(&word, text.data + i, sizeof word);
        if (word_escapes(word))
            return true;
    }
    for (; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == '"' || c == '\\')
            return true;
    }
    return false;
}

static void append_escaped(struct buf *out, struct str text)
{
    static const char hex[] = "0123456789abcdef";
    size_t clean = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_append(out, text.data + clean, i - clean);
        clean = i + 1;
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        const char *simple = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\t' ? "\\t" : NULL;
        if (simple)
            buf_append(out, simple, 2);
        else
            buf_append(out, escape, 6);
    }
    buf_append(out, text.data + clean, text.size - clean);
}

void json_string(struct buf *out, struct str text)
{
    comma(out);
    buf_append_byte(out, '"');
    if (text_escapes(text))
        append_escaped(out, text);
    else
        buf_append_str(out, text);
    buf_append_byte(out, '"');
}

void json_text(struct buf *out, const char *text)
{
    json_string(out, str_from(text));
}

void json_key(struct buf *out, const char *key)
{
    json_text(out, key);
    buf_append_byte(out, ':');
}

void json_integer(struct buf *out, int64_t value)
{
    comma(out);
    if (value < 0)
        buf_append_byte(out, '-');
    buf_append_number(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
}

void json_bool(struct buf *out, bool value)
{
    comma(out);
    buf_append_text(out, value ? "true" : "false");
}

void json_null(struct buf *out)
{
    comma(out);
    buf_append_text(out, "null");
}

void json_raw(struct buf *out, struct str json)
{
    comma(out);
    buf_append_str(out, json);
}

/* ---- tree ----------------------------------------------------------------------------------------- */

static bool parse_value(struct json_scan *s, struct json_value *ret, unsigned depth);

/* Members are gathered on the heap and moved to the arena once their number is known. */
struct gather {
    struct json_value *items;
    struct str *keys;
    size_t count, capacity;
};

static void gather_room(struct gather *g)
{
    if (g->count < g->capacity)
        return;
    g->capacity = g->capacity ? g->capacity * 2 : 8;
    g->items = xrealloc(g->items, g->capacity, sizeof *g->items);
    g->keys = xrealloc(g->keys, g->capacity, sizeof *g->keys);
}

static bool gather_take(struct json_scan *s, struct gather *g, struct json_value *ret)
{
    ret->count = g->count;
    ret->items = arena_alloc(s->arena, (g->count + 1) * sizeof *ret->items);
    ret->keys = arena_alloc(s->arena, (g->count + 1) * sizeof *ret->keys);
    if (ret->items == NULL || ret->keys == NULL)
        return fail(s, "too much text");
    if (g->count) {
        memcpy(ret->items, g->items, g->count * sizeof *ret->items);
        memcpy(ret->keys, g->keys, g->count * sizeof *ret->keys);
    }
    return true;
}

static bool gather_member(struct json_scan *s, struct gather *g, bool object, unsigned depth)
{
    gather_room(g);
    struct str key = {0};
    if (object) {
        if (!json_scan_string(s, &key))
            return false;
        for (size_t i = 0; i < g->count; i++)
            if (str_equal(g->keys[i], key))
                return fail(s, "a member stands twice");
        if (!json_take(s, ':'))
            return fail(s, "expected a colon");
    }
    g->keys[g->count] = key;
    struct json_value value;
    if (!parse_value(s, &value, depth + 1))
        return false;
    g->items[g->count++] = value;
    return true;
}

static bool parse_members(struct json_scan *s, struct json_value *ret, unsigned depth)
{
    bool object = ret->type == JSON_OBJECT;
    char closing = object ? '}' : ']';
    struct gather g = {0};
    bool ok = true;
    if (!json_take(s, closing)) {
        do
            ok = gather_member(s, &g, object, depth);
        while (ok && json_take(s, ','));
        ok = ok && (json_take(s, closing) || fail(s, "expected a comma or the end"));
    }
    ok = ok && gather_take(s, &g, ret);
    xfree(g.items);
    xfree(g.keys);
    return ok;
}

static bool parse_value(struct json_scan *s, struct json_value *ret, unsigned depth)
{
    *ret = (struct json_value){0};
    if (depth > JSON_DEPTH_MAX)
        return fail(s, "nested too deeply");
    json_skip_space(s);
    char c = s->at < s->end ? *s->at : '\0';
    if (c == '{' || c == '[') {
        s->at++;
        ret->type = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        return parse_members(s, ret, depth);
    }
    if (c == '"') {
        ret->type = JSON_STRING;
        return json_scan_string(s, &ret->text);
    }
    if (c == 't' || c == 'f') {
        ret->type = JSON_BOOL;
        return json_scan_bool(s, &ret->boolean);
    }
    if (json_scan_null(s))
        return true;
    const char *end = number_end(s->at, s->end, &ret->is_integer);
    if (end == NULL)
        return fail(s, "expected a value");
    ret->type = JSON_NUMBER;
    ret->text = (struct str){s->at, (size_t)(end - s->at)};
    ret->is_integer = ret->is_integer && str_to_i64(ret->text, &ret->integer);
    s->at = end;
    return true;
}

int json_parse(struct str text, struct arena *arena, struct json_value *ret, struct error *err)
{
    if (text.data == NULL)
        text = STR("");
    struct json_scan s = {text.data, text.data + text.size, arena, NULL};
    bool ok = parse_value(&s, ret, 0);
    json_skip_space(&s);
    if (ok && s.at != s.end)
        ok = fail(&s, "text follows the value");
    if (!ok)
        return error_set(err, -EINVAL, "not JSON: %s, at byte %zu", s.problem,
                         (size_t)(s.at - text.data));
    return 0;
}

const struct json_value *json_get(const struct json_value *value, const char *key)
{
    if (value == NULL || value->type != JSON_OBJECT)
        return NULL;
    for (size_t i = 0; i < value->count; i++)
        if (str_is(value->keys[i], key))
            return &value->items[i];
    return NULL;
}

struct str json_get_str(const struct json_value *value, const char *key)
{
    const struct json_value *member = json_get(value, key);
    return member && member->type == JSON_STRING ? member->text : (struct str){0};
}

int64_t json_get_i64(const struct json_value *value, const char *key, int64_t fallback)
{
    const struct json_value *member = json_get(value, key);
    return member && member->type == JSON_NUMBER && member->is_integer ? member->integer : fallback;
}

bool json_get_bool(const struct json_value *value, const char *key)
{
    const struct json_value *member = json_get(value, key);
    return member && member->type == JSON_BOOL && member->boolean;
}
