/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One description of each table, from which come its SQL, the binding of rows and their decoding. */

#include "base/buf.h"
#include "store/database.h"
#include "store/table.h"

enum column_type { COLUMN_U64, COLUMN_I64, COLUMN_BOOL, COLUMN_TEXT };

struct column {
    const char *name;
    enum column_type type;
    size_t offset;
};

/* A filter of struct table_query as a condition on this table, its value as ?N, N as given. */
enum filter {
    FILTER_ID,
    FILTER_WORKLOAD,
    FILTER_ATTEMPT,
    FILTER_PROJECT,
    FILTER_STATE,
    FILTER_TYPE,
    FILTER_POOL,
    FILTER_FROM,
    FILTER_TO,
    FILTER_AFTER,
    FILTER_BEFORE,
    FILTER_COUNT,
};

struct table_schema {
    const char *name;
    const char *keys;  /* columns, comma between */
    const char *order;
    const char *time;  /* column that from_ms and to_ms mean */
    const char *after; /* condition with ?10 = after.seq, ?12 = after.position */
    size_t size;       /* of the struct */
    const struct column *columns;
    size_t count;
    const char *const *indexes;
};

extern const struct table_schema table_schemas[TABLE_COUNT];

/* The whole of CREATE TABLE and CREATE INDEX. */
void tables_schema_sql(struct buf *out);
const struct column *table_column(const struct table_schema *schema, struct str name);
void table_names(const struct table_schema *schema, struct buf *out);

/* The SELECT that answers a query. */
void table_query_sql(const struct table_query *query, struct buf *out);

#define TABLES_APPLICATION 0x54737431u /* "Tst1" */
#define TABLES_FORMAT 1u
