/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "tessera: bug: %s:%d: CHECK(%s) failed\n", file, line, condition);
    abort();
}
