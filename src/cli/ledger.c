/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: the entries, or the bill of one workload. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/pages.h"
#include "cli/workload_name.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>

/* ---- a bill
 * --------------------------------------------------------------------------------------- */

static void bill_row(struct listing *listing, const struct api_bill_line *line, time_ms now)
{
    _cleanup_buf_ struct buf from = BUF_INIT(64), span = BUF_INIT(64);
    format_time(&from, line->from_ms, now);
    span_print(&span, MAX(line->to_ms - line->from_ms, 0));
    listing_str(listing, buf_str(&from));
    listing_str(listing, buf_str(&span));
    listing_cell(listing, "%lld", (long long)line->attempt);
    listing_str(listing, line->kind);
    listing_milli(listing, line->units_milli);
    listing_money(listing, line->rate_udollar_per_hour);
    listing_money(listing, line->amount_udollar);
    listing_str(listing, line->pool);
}

static int print_bill(struct cli *cli, const char *word)
{
    const char *workload;
    struct api_bill bill = {};
    struct listing listing = {};
    int code = workload_named(cli, word, false, &workload);
    if (code)
        return code;
    struct api_call call = {.path = api_path(cli, "/v1/workloads/", workload, "/bill"),
                            .subject = workload};
    code = api_call(cli, &call, &api_bill_record, &bill);
    if (code || cli_print_json(cli))
        return code;
    const struct api_bill_line *lines = bill.lines.items;
    listing_begin(&listing, "FROM|FOR|>ATTEMPT|WHAT|>UNITS|>AN HOUR, ALL|>AMOUNT|POOL");
    for (size_t i = 0; i < bill.lines.count; i++)
        bill_row(&listing, &lines[i], clock_wall_ms());
    listing_end(&listing, stdout);
    _cleanup_buf_ struct buf sum = BUF_INIT(200);
    format_money(&sum, add_checked(bill.sum_udollar, bill.open_udollar));
    if (bill.open_udollar) {
        buf_append_text(&sum, ", of which ");
        format_money(&sum, bill.open_udollar);
        buf_append_text(&sum, " is not yet a line");
    }
    printf("\nin all %s\n", buf_text(&sum));
    return EXIT_OK;
}

/* ---- the ledger ---- */

static void entry_row(struct listing *listing, const struct api_entry *entry, bool names,
                      time_ms now)
{
    _cleanup_buf_ struct buf time = BUF_INIT(64);
    format_time(&time, entry->at_ms, now);
    listing_str(listing, buf_str(&time));
    listing_str(listing, entry->debit);
    listing_str(listing, entry->credit);
    listing_money(listing, entry->amount_udollar);
    if (names)
        listing_str(listing, entry->workload);
}

/* Rent is booked by project and tick, without a workload: then there is no column of them. */
static bool names_workloads(const struct api_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].workload.size)
            return true;
    return false;
}

static void print_entries(const struct api_entry *entries, size_t count)
{
    struct listing listing = {};
    bool names = names_workloads(entries, count);
    listing_begin(&listing,
                  names ? "WHEN|PAYS|RECEIVES|>AMOUNT|WORKLOAD" : "WHEN|PAYS|RECEIVES|>AMOUNT");
    for (size_t i = 0; i < count; i++)
        entry_row(&listing, &entries[i], names, clock_wall_ms());
    listing_end(&listing, stdout);
}

static void print_sums(const struct api_entry *sums, size_t count)
{
    struct listing listing = {};
    listing_begin(&listing, "PAYS|RECEIVES|LAST|>AMOUNT");
    for (size_t i = 0; i < count; i++) {
        _cleanup_buf_ struct buf time = BUF_INIT(64);
        format_time(&time, sums[i].at_ms, clock_wall_ms());
        listing_str(&listing, sums[i].debit);
        listing_str(&listing, sums[i].credit);
        listing_str(&listing, buf_str(&time));
        listing_money(&listing, sums[i].amount_udollar);
    }
    listing_end(&listing, stdout);
}

static const char *ledger_path(struct cli *cli, time_ms span)
{
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_printf(&path, "/v1/ledger?from_ms=%lld&%s",
               (long long)MAX(clock_wall_ms() - span, 0),
               cli_flag(cli, "entries") ? "limit=1000" : "sums=1");
    api_query(&path, "project", cli_option(cli, "project"));
    return arena_str(&cli->arena, buf_str(&path)).data;
}

int command_ledger(struct cli *cli)
{
    struct api_ledger all = {};
    time_ms span;
    if (cli_option(cli, "workload"))
        return print_bill(cli, cli_option(cli, "workload"));
    int code = cli_span(cli, "since", 24 * HOUR_MS, &span);
    if (code)
        return code;
    struct pages pages = {.path = ledger_path(cli, span),
                          .record = &api_ledger_record,
                          .item = sizeof(struct api_entry),
                          .list = &all.entries,
                          .cursor = &all.cursor,
                          .page = &all};
    code = pages_get(cli, &pages);
    if (code || cli_print_json(cli))
        return code;
    if (all.entries.count == 0)
        printf("Nothing was booked in this time.\n");
    else if (cli_flag(cli, "entries"))
        print_entries(all.entries.items, all.entries.count);
    else
        print_sums(all.entries.items, all.entries.count);
    return EXIT_OK;
}
