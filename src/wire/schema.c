/* SPDX-License-Identifier: Apache-2.0 */
/* JSON schemas in OpenAPI 3.0's dialect, from the same tables that decode. */
#include "wire/record.h"

#include "wire/json.h"

static void schema_reference(const struct record *record, struct buf *out)
{
    char text[128];
    struct buf name = BUF_INIT(sizeof text);
    buf_printf(&name, "#/components/schemas/%s", record->name);
    json_open(out, '{');
    json_key(out, "$ref");
    json_string(out, buf_str(&name));
    json_close(out, '}');
    buf_fini(&name);
}

static void schema_type(struct buf *out, const char *type, const char *format)
{
    json_key(out, "type");
    json_text(out, type);
    if (format) {
        json_key(out, "format");
        json_text(out, format);
    }
}

static void schema_range(const struct field *f, struct buf *out)
{
    schema_type(out, "integer", "int64");
    if (f->least == 0 && f->most == 0)
        return;
    json_key(out, "minimum");
    json_integer(out, f->least);
    json_key(out, "maximum");
    json_integer(out, f->most);
}

static void schema_items(const struct field *f, struct buf *out)
{
    schema_type(out, "array", NULL);
    json_key(out, "items");
    if (f->item == FIELD_RECORD) {
        schema_reference(f->record, out);
        return;
    }
    json_open(out, '{');
    schema_type(out, f->item == FIELD_STR ? "string" : "integer", f->item == FIELD_STR ? NULL : "int64");
    json_close(out, '}');
}

static void schema_pairs(struct buf *out)
{
    schema_type(out, "object", NULL);
    json_key(out, "additionalProperties");
    json_open(out, '{');
    schema_type(out, "string", NULL);
    json_close(out, '}');
}

static void schema_names(const struct field *f, struct buf *out)
{
    schema_type(out, "string", NULL);
    json_key(out, "enum");
    json_open(out, '[');
    for (size_t i = 0; f->names[i]; i++)
        json_text(out, f->names[i]);
    json_close(out, ']');
}

static void schema_field(const struct field *f, struct buf *out)
{
    switch (f->type) {
    case FIELD_BOOL:
        schema_type(out, "boolean", NULL);
        break;
    case FIELD_I64:
        schema_range(f, out);
        break;
    case FIELD_STR:
        schema_type(out, "string", NULL);
        break;
    case FIELD_BYTES:
        schema_type(out, "string", "byte");
        break;
    case FIELD_ENUM:
        schema_names(f, out);
        break;
    case FIELD_LIST:
        schema_items(f, out);
        break;
    case FIELD_MAP:
        schema_pairs(out);
        break;
    case FIELD_RECORD:
    case FIELD_JSON:
        break;
    }
}

static void schema_member(const struct field *f, struct buf *out)
{
    json_key(out, f->name);
    if (f->type == FIELD_RECORD) {
        schema_reference(f->record, out);
        return;
    }
    json_open(out, '{');
    schema_field(f, out);
    if (f->doc || f->unit) {
        _cleanup_buf_ struct buf text = BUF_INIT(1024);
        buf_printf(&text, "%s%s%s%s", f->doc ? f->doc : "", f->unit ? " (" : "", f->unit ? f->unit : "",
                   f->unit ? ")" : "");
        json_key(out, "description");
        json_string(out, buf_str(&text));
    }
    if (f->flags & FIELD_SECRET) {
        json_key(out, "writeOnly");
        json_bool(out, true);
    }
    if (f->flags & FIELD_OUTPUT) {
        json_key(out, "readOnly");
        json_bool(out, true);
    }
    json_close(out, '}');
}

static void schema_required(const struct record *record, struct buf *out)
{
    size_t required = 0;
    for (size_t i = 0; i < record->count; i++)
        required += (record->fields[i].flags & FIELD_REQUIRED) != 0;
    if (required == 0)
        return;
    json_key(out, "required");
    json_open(out, '[');
    for (size_t i = 0; i < record->count; i++)
        if (record->fields[i].flags & FIELD_REQUIRED)
            json_text(out, record->fields[i].name);
    json_close(out, ']');
}

void record_schema(const struct record *record, struct buf *out)
{
    json_open(out, '{');
    schema_type(out, "object", NULL);
    if (record->doc) {
        json_key(out, "description");
        json_text(out, record->doc);
    }
    json_key(out, "additionalProperties");
    json_bool(out, false);
    schema_required(record, out);
    json_key(out, "properties");
    json_open(out, '{');
    for (size_t i = 0; i < record->count; i++)
        schema_member(&record->fields[i], out);
    json_close(out, '}');
    json_close(out, '}');
}
