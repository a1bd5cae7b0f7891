/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "base/memory.h"

int str_compare(struct str a, struct str b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

char *str_dup(struct str text)
{
    char *copy = xmalloc(text.size + 1);
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

bool str_to_i64(struct str text, int64_t *ret_value)
{
    bool negative = text.size && text.data[0] == '-';
    size_t i = negative || (text.size && text.data[0] == '+') ? 1 : 0;
    if (i == text.size)
        return false;
    int64_t value = 0;
    for (; i < text.size; i++) {
        unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value))
            return false;
        if (__builtin_add_overflow(value, negative ? -(int64_t)digit : (int64_t)digit, &value))
            return false;
    }
    *ret_value = value;
    return true;
}

struct str str_cut(struct str *rest, char separator)
{
    struct str whole = *rest;
    const char *found = whole.size ? memchr(whole.data, separator, whole.size) : NULL;
    if (found == NULL) {
        *rest = (struct str){0};
        return whole;
    }
    size_t head = (size_t)(found - whole.data);
    *rest = (struct str){found + 1, whole.size - head - 1};
    return (struct str){whole.data, head};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct str str_trim(struct str text)
{
    while (text.size && is_space(text.data[0]))
        text = (struct str){text.data + 1, text.size - 1};
    while (text.size && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}
