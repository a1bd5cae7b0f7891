/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/base64.h"

#include "wire/json.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct str bytes, struct buf *out)
{
    const unsigned char *in = (const unsigned char *)bytes.data;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        unsigned block = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                         (left > 2 ? (unsigned)in[i + 2] : 0);
        char text[4] = {digits[block >> 18], digits[block >> 12 & 63],
                        left > 1 ? digits[block >> 6 & 63] : '=', left > 2 ? digits[block & 63] : '='};
        buf_append(out, text, 4);
    }
}

void base64_encode_json(struct str bytes, struct buf *out)
{
    json_text(out, "");
    out->size--; /* back over the closing quote */
    base64_encode(bytes, out);
    buf_append_byte(out, '"');
}

static int digit_value(char c)
{
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

bool base64_decode(struct str text, struct arena *arena, struct str *ret)
{
    if (text.size % 4 != 0)
        return false;
    char *out = arena_alloc(arena, text.size / 4 * 3 + 1);
    size_t size = 0;
    for (size_t i = 0; out && i < text.size; i += 4) {
        int padding = 0;
        unsigned block = 0;
        for (size_t j = 0; j < 4; j++) {
            char c = text.data[i + j];
            int value = c == '=' && i + 4 == text.size && j >= 2 ? 0 : digit_value(c);
            if (value < 0 || (padding && c != '='))
                return false;
            padding += c == '=';
            block = block << 6 | (unsigned)value;
        }
        for (int j = 0; j < 3 - padding; j++)
            out[size++] = (char)(block >> (16 - 8 * j));
    }
    *ret = (struct str){out, size};
    return out != NULL;
}

void hex_encode(struct str bytes, struct buf *out)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        buf_append_byte(out, hex[byte >> 4]);
        buf_append_byte(out, hex[byte & 15]);
    }
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_decode(struct str text, unsigned char *ret, size_t size)
{
    if (text.size != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
