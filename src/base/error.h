/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Errors are values. A function returns 0 or a negative errno; the text stands in a buffer that
 * the caller owns and may leave out (NULL). The text names what is wrong and what is allowed:
 * "resources.cpus: -1 is too small, allowed is 0.001 to 100000". */

#include <stdarg.h>

#define ERROR_TEXT_MAX 512

struct error {
    int code; /* negative errno, 0 while unset */
    char text[ERROR_TEXT_MAX];
};

/* Fills err (where given) and returns code, so that `return error_set(err, -EINVAL, …)` reads. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " in front of the text that err holds; returns err's code (-EIO where NULL). */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
