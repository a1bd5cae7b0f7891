/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The operator's settings, as `settings` and `prices --settings` print them. */

#include "cli/session.h"

int settings_print(struct cli *cli);
