/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A bug aborts, in release too. CHECK is for what the program itself must keep true;
 * input from outside is refused with a struct error instead. */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            check_failed(#condition, __FILE__, __LINE__);                                          \
    } while (0)

/* Prints the condition and its place on standard error and aborts. */
void check_failed(const char *condition, const char *file, int line)
    __attribute__((noreturn, cold));
