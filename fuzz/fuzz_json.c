/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: parsed, then walked to its last leaf, so that every borrowed text is read. */

#include "wire/json.h"

static uint64_t value_sum(const struct json_value *value)
{
    uint64_t sum = (uint64_t)value->integer + value->boolean;
    for (size_t i = 0; i < value->text.size; i++)
        sum += (unsigned char)value->text.data[i];
    for (size_t i = 0; i < value->count; i++) {
        if (value->keys)
            sum += value->keys[i].size;
        sum += value_sum(&value->items[i]);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(arena_fini) struct arena arena = {};
    struct json_value value = {};
    struct error err = {};
    struct str text = {.data = (const char *)data, .size = size};
    if (json_parse(text, &arena, &value, &err) == 0)
        value_sum(&value);
    return 0;
}
