/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* YAML (through libyaml) into the same tree as JSON, scalars resolved as YAML 1.1 and PyYAML do.
 * One document; tags of one's own are refused; aliases are copied under a bound on the whole. */

#include "wire/json.h"

#define YAML_VALUES_MAX 20000

int yaml_parse(struct str text, struct arena *arena, struct json_value *ret, struct error *err);
