/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return code;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return -EIO;
    char prefix[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    if (size < 0 || (size_t)size + 2 >= sizeof err->text)
        return err->code;
    size_t head = (size_t)size;
    size_t kept = strnlen(err->text, sizeof err->text - head - 3);
    memmove(err->text + head + 2, err->text, kept);
    memcpy(err->text, prefix, head);
    memcpy(err->text + head, ": ", 2);
    err->text[head + 2 + kept] = '\0';
    return err->code;
}
