/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/yaml.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

struct build {
    yaml_document_t *document;
    struct arena *arena;
    struct error *err;
    size_t values; /* built so far: bounds what aliases can blow up to */
};

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words; words++)
        if (str_is(text, *words))
            return true;
    return false;
}

/* YAML 1.1's integers in decimal with underscores, hexadecimal and octal. */
static bool resolve_integer(struct str text, int64_t *ret)
{
    char digits[32];
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '_' && i > 0)
            continue;
        if (size == sizeof digits - 1)
            return false;
        digits[size++] = text.data[i];
    }
    digits[size] = '\0';
    struct str plain = {digits, size};
    if (str_starts(plain, STR("0x")) && size > 2) {
        char *end;
        errno = 0;
        *ret = strtoll(digits + 2, &end, 16);
        return errno == 0 && *end == '\0' && digits[2] != '-' && digits[2] != '+';
    }
    return str_to_i64(plain, ret);
}

static bool looks_like_number(struct str text)
{
    bool digit = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        digit |= c >= '0' && c <= '9';
        if (!(c >= '0' && c <= '9') && !strchr("+-.eE", c))
            return false;
    }
    return digit && text.data[text.size - 1] != 'e' && text.data[0] != 'e' && text.data[0] != 'E';
}

static void resolve_scalar(struct json_value *value)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const truths[] = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", NULL};
    static const char *const lies[] = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", NULL};
    if (is_one_of(value->text, nulls)) {
        value->type = JSON_NULL;
    } else if (is_one_of(value->text, truths) || is_one_of(value->text, lies)) {
        value->type = JSON_BOOL;
        value->boolean = is_one_of(value->text, truths);
    } else if (resolve_integer(value->text, &value->integer)) {
        value->type = JSON_NUMBER;
        value->is_integer = true;
    } else if (looks_like_number(value->text)) {
        value->type = JSON_NUMBER;
    }
}

static int build_value(struct build *b, int index, struct json_value *ret, unsigned depth);

static int refuse_at(struct build *b, const yaml_node_t *node, const char *what)
{
    return error_set(b->err, -EINVAL, "line %zu: %s", node->start_mark.line + 1, what);
}

static int build_scalar(struct build *b, const yaml_node_t *node, struct json_value *ret)
{
    struct str text = {(const char *)node->data.scalar.value, node->data.scalar.length};
    ret->type = JSON_STRING;
    ret->text = arena_str(b->arena, text);
    if (ret->text.data == NULL)
        return refuse_at(b, node, "too much text");
    if (!utf8_valid(text))
        return refuse_at(b, node, "not valid UTF-8, or a NUL character");
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        resolve_scalar(ret);
    return 0;
}

static int build_sequence(struct build *b, const yaml_node_t *node, struct json_value *ret, unsigned depth)
{
    ret->type = JSON_ARRAY;
    ret->count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    ret->items = arena_alloc(b->arena, (ret->count + 1) * sizeof *ret->items);
    if (ret->items == NULL)
        return refuse_at(b, node, "too much text");
    for (size_t i = 0; i < ret->count; i++) {
        int r = build_value(b, node->data.sequence.items.start[i], &ret->items[i], depth + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

static int build_mapping(struct build *b, const yaml_node_t *node, struct json_value *ret, unsigned depth)
{
    size_t count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    ret->type = JSON_OBJECT;
    ret->items = arena_alloc(b->arena, (count + 1) * sizeof *ret->items);
    ret->keys = arena_alloc(b->arena, (count + 1) * sizeof *ret->keys);
    if (ret->items == NULL || ret->keys == NULL)
        return refuse_at(b, node, "too much text");
    for (size_t i = 0; i < count; i++) {
        const yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
        const yaml_node_t *key = yaml_document_get_node(b->document, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return refuse_at(b, key, "the name of a field must be text");
        ret->keys[i] = arena_str(b->arena, (struct str){(const char *)key->data.scalar.value, key->data.scalar.length});
        if (str_is(ret->keys[i], "<<"))
            return refuse_at(b, key, "merge keys (<<) are not supported");
        for (size_t j = 0; j < i; j++)
            if (str_equal(ret->keys[j], ret->keys[i]))
                return refuse_at(b, key, "a field stands twice");
        int r = build_value(b, pair->value, &ret->items[i], depth + 1);
        if (r < 0)
            return r;
        ret->count = i + 1;
    }
    return 0;
}

static int build_value(struct build *b, int index, struct json_value *ret, unsigned depth)
{
    const yaml_node_t *node = yaml_document_get_node(b->document, index);
    *ret = (struct json_value){.line = (unsigned)node->start_mark.line + 1};
    if (depth > JSON_DEPTH_MAX)
        return refuse_at(b, node, "nested too deeply");
    if (++b->values > YAML_VALUES_MAX)
        return refuse_at(b, node, "too many values");
    if (node->tag && strncmp((const char *)node->tag, "tag:yaml.org,2002:", 18) != 0)
        return refuse_at(b, node, "tags are not supported");
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return build_scalar(b, node, ret);
    case YAML_SEQUENCE_NODE:
        return build_sequence(b, node, ret, depth);
    case YAML_MAPPING_NODE:
        return build_mapping(b, node, ret, depth);
    case YAML_NO_NODE:
        break;
    }
    return refuse_at(b, node, "not a value");
}

static int build_document(yaml_parser_t *parser, struct build *b, struct json_value *ret)
{
    yaml_document_t next;
    const yaml_node_t *root = yaml_document_get_root_node(b->document);
    if (root == NULL)
        return error_set(b->err, -EINVAL, "the file is empty");
    int r = build_value(b, 1, ret, 0);
    if (r < 0)
        return r;
    if (!yaml_parser_load(parser, &next))
        return error_set(b->err, -EINVAL, "line %zu: %s", parser->problem_mark.line + 1, parser->problem);
    bool more = yaml_document_get_root_node(&next) != NULL;
    yaml_document_delete(&next);
    return more ? error_set(b->err, -EINVAL, "more than one document; one is allowed") : 0;
}

int yaml_parse(struct str text, struct arena *arena, struct json_value *ret, struct error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    CHECK(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
    int r;
    if (!yaml_parser_load(&parser, &document)) {
        r = error_set(err, -EINVAL, "line %zu: %s", parser.problem_mark.line + 1,
                      parser.problem ? parser.problem : "not YAML");
    } else {
        struct build b = {&document, arena, err, 0};
        r = build_document(&parser, &b, ret);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return r;
}
