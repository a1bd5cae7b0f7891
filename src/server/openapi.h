/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The OpenAPI 3.0 document of all routes. */

#include "base/buf.h"

void openapi_write(struct buf *out);
