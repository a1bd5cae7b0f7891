/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table_schema.h"

#define U64(record, field) {#field, COLUMN_U64, offsetof(struct record, field)}
#define I64(record, field) {#field, COLUMN_I64, offsetof(struct record, field)}
#define BOOL(record, field) {#field, COLUMN_BOOL, offsetof(struct record, field)}
#define TEXT(record, field) {#field, COLUMN_TEXT, offsetof(struct record, field)}

static const struct column workload_columns[] = {
    U64(table_workload, id),
    TEXT(table_workload, name),
    TEXT(table_workload, project),
    TEXT(table_workload, state),
    TEXT(table_workload, kind),
    I64(table_workload, attempt),
    I64(table_workload, nodes),
    I64(table_workload, units_milli),
    TEXT(table_workload, pool),
    I64(table_workload, limit_udollar_per_hour),
    I64(table_workload, rate_udollar_per_hour),
    I64(table_workload, cost_udollar),
    I64(table_workload, submitted_ms),
    I64(table_workload, started_ms),
    I64(table_workload, ended_ms),
    I64(table_workload, deadline_ms),
    TEXT(table_workload, reason),
    BOOL(table_workload, exited),
    BOOL(table_workload, oom),
    I64(table_workload, exit_code),
    I64(table_workload, signal),
    I64(table_workload, exit_rank),
    TEXT(table_workload, last_lines),
    TEXT(table_workload, request),
};
static const struct column step_columns[] = {
    U64(table_step, seq),       U64(table_step, position), U64(table_step, workload), I64(table_step, at_ms),
    TEXT(table_step, type),     I64(table_step, attempt),  TEXT(table_step, reason),  TEXT(table_step, text),
};
static const struct column placement_columns[] = {
    U64(table_placement, workload),   I64(table_placement, attempt),   I64(table_placement, role),
    I64(table_placement, rank),       U64(table_placement, node),      TEXT(table_placement, node_name),
    TEXT(table_placement, address),   TEXT(table_placement, gpus),     TEXT(table_placement, state),
    I64(table_placement, started_ms), I64(table_placement, ended_ms),  I64(table_placement, exit_code),
    I64(table_placement, signal),     BOOL(table_placement, ended),    BOOL(table_placement, oom),
};
static const struct column price_columns[] = {
    TEXT(table_price, pool),
    I64(table_price, at_ms),
    I64(table_price, price_udollar_per_hour),
    I64(table_price, marginal_udollar_per_hour),
    I64(table_price, scarcity_udollar_per_hour),
    I64(table_price, guide_udollar_per_hour),
    I64(table_price, free_milli),
    I64(table_price, used_milli),
    I64(table_price, wanted_milli),
};
static const struct column entry_columns[] = {
    U64(table_entry, seq),     U64(table_entry, position), I64(table_entry, at_ms),
    TEXT(table_entry, project), TEXT(table_entry, debit),  TEXT(table_entry, credit),
    I64(table_entry, amount_udollar), U64(table_entry, workload), TEXT(table_entry, pool),
};
static const struct column charge_columns[] = {
    U64(table_charge, seq),      U64(table_charge, position), U64(table_charge, workload),
    TEXT(table_charge, project), I64(table_charge, attempt),  TEXT(table_charge, kind),
    TEXT(table_charge, pool),    I64(table_charge, from_ms),  I64(table_charge, to_ms),
    I64(table_charge, units_milli), I64(table_charge, rate_udollar_per_hour), I64(table_charge, amount_udollar),
};
static const struct column node_columns[] = {
    U64(table_node, id),       TEXT(table_node, name),     TEXT(table_node, state),  TEXT(table_node, sku),
    TEXT(table_node, pool),    TEXT(table_node, address),  TEXT(table_node, provider), TEXT(table_node, region),
    TEXT(table_node, zone),    TEXT(table_node, rack),     I64(table_node, ask_udollar_per_hour),
    I64(table_node, registered_ms), I64(table_node, changed_ms),
};
static const struct column event_columns[] = {
    U64(table_event, seq),  U64(table_event, position), TEXT(table_event, type),  U64(table_event, workload),
    U64(table_event, node), TEXT(table_event, project), I64(table_event, at_ms),  TEXT(table_event, json),
};

static const char *const workload_indexes[] = {"(project, id)", "(state, id)", NULL};
static const char *const by_workload[] = {"(workload, seq, position) WHERE workload <> 0", NULL};
static const char *const entry_indexes[] = {
    "(workload, seq, position) WHERE workload <> 0", "(project, seq, position) WHERE project <> ''", NULL};
static const char *const event_indexes[] = {
    "(workload, seq, position) WHERE workload <> 0", "(type, seq, position)", NULL};

#define AFTER_POSITION "(seq, position) > (?10, ?12)"
#define COLUMNS(list) list, ARRAY_COUNT(list)

const struct table_schema table_schemas[TABLE_COUNT] = {
    [TABLE_WORKLOAD] = {"workloads", "id", "id DESC", "submitted_ms", NULL, sizeof(struct table_workload),
                        COLUMNS(workload_columns), workload_indexes},
    [TABLE_STEP] = {"steps", "seq, position", "seq, position", "at_ms", AFTER_POSITION, sizeof(struct table_step),
                    COLUMNS(step_columns), by_workload},
    [TABLE_PLACEMENT] = {"placements", "workload, attempt, role, rank", "workload, attempt, role, rank", NULL, NULL,
                         sizeof(struct table_placement), COLUMNS(placement_columns), NULL},
    [TABLE_PRICE] = {"prices", "pool, at_ms", "pool, at_ms", "at_ms", NULL, sizeof(struct table_price),
                     COLUMNS(price_columns), NULL},
    [TABLE_ENTRY] = {"ledger", "seq, position", "seq, position", "at_ms", AFTER_POSITION, sizeof(struct table_entry),
                     COLUMNS(entry_columns), entry_indexes},
    [TABLE_CHARGE] = {"charges", "seq, position", "seq, position", "from_ms", AFTER_POSITION,
                      sizeof(struct table_charge), COLUMNS(charge_columns), by_workload},
    [TABLE_NODE] = {"nodes", "id", "id", NULL, "id > ?10", sizeof(struct table_node), COLUMNS(node_columns), NULL},
    [TABLE_EVENT] = {"events", "seq, position", "seq, position", "at_ms", AFTER_POSITION, sizeof(struct table_event),
                     COLUMNS(event_columns), event_indexes},
};

static void table_sql(const struct table_schema *schema, struct buf *out)
{
    buf_printf(out, "CREATE TABLE %s(", schema->name);
    for (size_t i = 0; i < schema->count; i++)
        buf_printf(out, "%s %s NOT NULL, ", schema->columns[i].name,
                   schema->columns[i].type == COLUMN_TEXT ? "TEXT" : "INTEGER");
    /* A single integer key is SQLite's own row number; other keys order the rows themselves. */
    bool single = str_equal(str_from(schema->keys), STR("id"));
    buf_printf(out, "PRIMARY KEY(%s)) STRICT%s;", schema->keys, single ? "" : ", WITHOUT ROWID");
    for (size_t i = 0; schema->indexes && schema->indexes[i]; i++)
        buf_printf(out, "CREATE INDEX %s_%zu ON %s%s;", schema->name, i + 1, schema->name, schema->indexes[i]);
}

void tables_schema_sql(struct buf *out)
{
    buf_append_text(out, "CREATE TABLE cursor(id INTEGER PRIMARY KEY CHECK(id = 1), seq INTEGER NOT NULL,"
                         " position INTEGER NOT NULL) STRICT; INSERT INTO cursor VALUES(1, 0, 0);");
    for (size_t i = 0; i < TABLE_COUNT; i++)
        table_sql(&table_schemas[i], out);
}

const struct column *table_column(const struct table_schema *schema, struct str name)
{
    for (size_t i = 0; i < schema->count; i++)
        if (str_is(name, schema->columns[i].name))
            return &schema->columns[i];
    return NULL;
}

void table_names(const struct table_schema *schema, struct buf *out)
{
    for (size_t i = 0; i < schema->count; i++)
        buf_printf(out, "%s%s", i ? ", " : "", schema->columns[i].name);
}
