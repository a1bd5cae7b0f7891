/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger and the bills, from the tables. */
#include "server/api_route.h"
#include "server/api_submit.h"

#include "wire/record.h"

#define PAGE_DEFAULT 100
#define PAGE_MOST 1000
#define LINES_MOST 100000
#define SUMS_MOST 100000

static bool parse_workload(struct api_call *call, uint64_t *ret)
{
    struct str text = http_request_query(call->request, "workload");
    if (!text.size || id_parse(call->api->ids, "work", text, ret))
        return true;
    call_refuse(call, 404, "workload", "no such workload");
    return false;
}

static bool parse_cursor(struct api_call *call, struct table_position *ret)
{
    struct str cursor = http_request_query(call->request, "cursor");
    if (!cursor.size || position_parse(cursor, ret))
        return true;
    call_refuse(call, 400, "cursor", "not one that an answer gave");
    return false;
}

static struct api_entry render_entry(struct api_call *call, const struct table_entry *row,
                                     bool sum)
{
    return (struct api_entry){
        .id = sum ? (struct str){0}
                  : call_text(call, "%llu-%llu", (unsigned long long)row->seq,
                              (unsigned long long)row->position),
        .at_ms = row->at_ms,
        .debit = row->debit,
        .credit = row->credit,
        .amount_udollar = row->amount_udollar,
        .workload = call_id(call, "work", row->workload),
        .pool = row->pool,
    };
}

void route_ledger_list(struct api_call *call, const struct core_view *view)
{
    struct table_query query = {.table = TABLE_ENTRY};
    int64_t limit = PAGE_DEFAULT, sums = 0;
    engine_id project;
    if (!call_project(call, &project) || !parse_workload(call, &query.workload) ||
        !parse_cursor(call, &query.after) || !call_number(call, "limit", &limit, 1, PAGE_MOST) ||
        !call_number(call, "sums", &sums, 0, 1) ||
        !call_number(call, "from_ms", &query.from_ms, 0, INT64_MAX) ||
        !call_number(call, "to_ms", &query.to_ms, 0, INT64_MAX))
        return;
    struct render render = call_render(call, view);
    struct table_page page;
    query.project = project ? render_project(&render, project) : (struct str){0};
    query.sums = sums;
    query.limit = sums ? SUMS_MOST : (size_t)limit;
    if (!view_read(call, view, &query, &page))
        return;
    const struct table_entry *rows = page.rows;
    struct api_entry *entries = call_alloc(call, MAX(page.count, 1) * sizeof *entries);
    for (size_t i = 0; i < page.count; i++)
        entries[i] = render_entry(call, &rows[i], sums);
    struct api_ledger ledger = {.entries = {entries, page.count}};
    if (page.more && !sums)
        ledger.cursor = entries[page.count - 1].id;
    call_answer(call, 200, &api_ledger_record, &ledger);
}

/* ---- bills ---- */

static bool bill_lines(struct api_call *call, const struct core_view *view, engine_id id,
                       struct api_bill *ret)
{
    struct table_page page;
    if (!view_read(
            call, view,
            &(struct table_query){.table = TABLE_CHARGE, .workload = id, .limit = LINES_MOST},
            &page))
        return false;
    const struct table_charge *rows = page.rows;
    struct api_bill_line *lines = call_alloc(call, MAX(page.count, 1) * sizeof *lines);
    for (size_t i = 0; i < page.count; i++) {
        lines[i] = (struct api_bill_line){
            .attempt = rows[i].attempt,
            .kind = rows[i].kind,
            .pool = rows[i].pool,
            .from_ms = rows[i].from_ms,
            .to_ms = rows[i].to_ms,
            .units_milli = rows[i].units_milli,
            .rate_udollar_per_hour = rows[i].rate_udollar_per_hour,
            .amount_udollar = rows[i].amount_udollar,
        };
        ret->sum_udollar += rows[i].amount_udollar;
    }
    ret->lines = (struct record_list){lines, page.count};
    return true;
}

void route_workload_bill(struct api_call *call, const struct core_view *view)
{
    const struct engine_workload *w = call_workload(call, view->engine);
    const struct table_workload *past;
    if (!w && !call_past_workload(call, view, &past))
        return;
    engine_id id = call_workload_id(call);
    struct api_bill bill = {.id = call_id(call, "work", id)};
    if (!bill_lines(call, view, id, &bill))
        return;
    /* A line is written when its rate ends; what each tick books until then belongs to none. */
    struct market_bid_view bid;
    if (market_bid_view(engine_market(view->engine), id, view->now, &bid))
        bill.open_udollar = MAX(bid.charged_now - bill.sum_udollar, 0);
    call_answer(call, 200, &api_bill_record, &bill);
}
