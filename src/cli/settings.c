/* SPDX-License-Identifier: Apache-2.0 */
/* settings: names, units and bounds are those of the record's own table. */
#include "cli/commands.h"

#include "cli/api_call.h"
#include "cli/listing.h"
#include "cli/nearest.h"
#include "cli/settings_view.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>

static const struct record *const record = &api_settings_record;

static int64_t *value_of(struct api_settings *settings, const struct field *field)
{
    return (int64_t *)(void *)((char *)settings + field->offset);
}

/* "15s" behind 15000 ms, "50 %" behind 500 thousandths. */
static void write_meaning(const struct field *field, int64_t value, struct buf *out)
{
    if (field->unit && strcmp(field->unit, "ms") == 0)
        span_print(out, value);
    else if (field->unit && strcmp(field->unit, "1/1000") == 0)
        milli_print(out, value);
}

static void print_settings(struct api_settings *settings)
{
    struct listing listing = {};
    listing_begin(&listing, "SETTING|>VALUE||");
    for (size_t i = 0; i < record->count; i++) {
        const struct field *field = &record->fields[i];
        _cleanup_buf_ struct buf meaning = BUF_INIT(64);
        write_meaning(field, *value_of(settings, field), &meaning);
        listing_cell(&listing, "%s", field->name);
        listing_cell(&listing, "%lld", (long long)*value_of(settings, field));
        listing_cell(&listing, "%s", buf_text(&meaning));
        listing_cell(&listing, "%s", field->doc);
    }
    listing_end(&listing, stdout);
}

int settings_print(struct cli *cli)
{
    struct api_settings settings = {};
    int code = api_get(cli, "/v1/settings", record, &settings);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_settings(&settings);
    return code;
}

static const struct field *find_field(struct str name)
{
    for (size_t i = 0; i < record->count; i++)
        if (str_is(name, record->fields[i].name))
            return &record->fields[i];
    return NULL;
}

static int fail_name(struct str name)
{
    _cleanup_free_ char *word = str_dup(name);
    struct nearest nearest = nearest_to(word);
    for (size_t i = 0; i < record->count; i++)
        nearest_try(&nearest, record->fields[i].name);
    return cli_fail(EXIT_USAGE, "%s: no such setting%s%s%s", word,
                    nearest.found ? "; did you mean " : "; `tessera settings` lists them",
                    nearest.found ? nearest.found : "", nearest.found ? "?" : "");
}

/* A number as it is kept, or a span for what is in ms: tick_ms=15000, tick_ms=15s. */
static bool read_value(const struct field *field, struct str text, int64_t *ret)
{
    if (str_to_i64(text, ret))
        return true;
    return field->unit && strcmp(field->unit, "ms") == 0 && span_parse(text, ret);
}

static int change(struct api_settings *settings, const char *word)
{
    struct str value = str_from(word);
    struct str name = str_cut(&value, '=');
    const struct field *field = find_field(name);
    if (word[name.size] != '=')
        return cli_fail(EXIT_USAGE, "%s: a change is NAME=VALUE", word);
    if (field == NULL)
        return fail_name(name);
    int64_t number;
    if (!read_value(field, value, &number) || number < field->least || number > field->most)
        return cli_fail(EXIT_USAGE, "%s: \"%.*s\" is not allowed, allowed is %lld to %lld (%s)",
                        field->name, STR_ARGS(value), (long long)field->least,
                        (long long)field->most, field->unit ? field->unit : "");
    *value_of(settings, field) = number;
    *(bool *)((char *)settings + field->present_offset) = true;
    return EXIT_OK;
}

int command_settings(struct cli *cli)
{
    struct api_settings changes = {}, settings = {};
    if (cli->operand_count == 0)
        return settings_print(cli);
    for (size_t i = 0; i < cli->operand_count; i++) {
        int code = change(&changes, cli->operands[i]);
        if (code)
            return code;
    }
    struct api_call call = {
        .method = "PATCH", .path = "/v1/settings", .input = record, .value = &changes};
    int code = api_call(cli, &call, record, &settings);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_settings(&settings);
    return code;
}
