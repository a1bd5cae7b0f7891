/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>

#define ARCHIVE_DEPTH_MAX 64
#define ARCHIVE_NAME_MAX 4096
#define ARCHIVE_HEADER_BYTES 1536 /* of one entry, at most on average: header, padding, a long name */

/* Whether a link that stands `depth` folders deep points inside: relative, and `..` only in front and
 * no more often than that. Other links on its way are held to the same. */
bool archive_link_stays(const char *target, unsigned depth);
