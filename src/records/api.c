/* SPDX-License-Identifier: Apache-2.0 */
#include "records/api.h"

#include "records/table.h"

static const struct field api_error_fields[] = {
    TEXT(api_error, code, KEEP,
         "invalid, unauthorized, forbidden, not_found, conflict, too_large, busy or unavailable."),
    TEXT(api_error, field, OMIT, "Path of the offending field."),
    TEXT(api_error, message, KEEP, "What is wrong and what is allowed."),
};
RECORD(api_error, "Why a request was refused.");

static const struct field api_error_body_fields[] = {
    INLINE(api_error_body, error, api_error, "The error."),
};
RECORD(api_error_body, "The answer to a refused request.");

/* ---- settings ------------------------------------------------------------------------------------- */

#define S api_settings
#define PERMILLE "1/1000"
static const struct field api_settings_fields[] = {
    PRESENT(S, tick_ms, tick_present, 100, 3600000, "ms", "Time between two postings of prices."),
    PRESENT(S, horizon_ms, horizon_present, 1000, SPAN_MOST, "ms",
            "What the cost of a switch is spread over."),
    PRESENT(S, minimum_run_ms, minimum_run_present, 0, SPAN_MOST, "ms",
            "Time in which work is not preempted, where it asks for no other."),
    PRESENT(S, ramp_permille, ramp_present, 0, 1000, PERMILLE,
            "How fast a posted price may move, of itself a minute."),
    PRESENT(S, fee_permille, fee_present, 0, 1000, PERMILLE, "The operator's share of the rent."),
    PRESENT(S, term_ms, term_present, 1000, SPAN_MOST, "ms",
            "Term of firm work, where it asks for no other."),
    PRESENT(S, kill_ms, kill_present, 0, 3600000, "ms",
            "Time after the notice until nodes count as free."),
    PRESENT(S, checkpoint_ms, checkpoint_present, 0, SPAN_MOST, "ms",
            "Most of its last run that a victim gets back."),
    PRESENT(S, large_tenant_permille, large_tenant_present, 0, 1000, PERMILLE,
            "Share of a pool from which a project counts as large."),
    PRESENT(S, sweep_candidates, sweep_present, 1, 1000000, "workloads",
            "How many candidates one sweep looks at."),
    PRESENT(S, contact_timeout_ms, contact_timeout_present, 1000, SPAN_MOST, "ms",
            "Out of contact for so long, a node is given up."),
    PRESENT(S, retain_ms, retain_present, 0, SPAN_MOST, "ms",
            "How long an ended workload stays in memory; the tables keep it."),
    PRESENT(S, limit_low_permille, low_present, 1, 1000000000, PERMILLE,
            "Limit of priority `low`, of the pool's lowest ask."),
    PRESENT(S, limit_normal_permille, normal_present, 1, 1000000000, PERMILLE,
            "Limit of priority `normal`, of the pool's lowest ask."),
    PRESENT(S, limit_high_permille, high_present, 1, 1000000000, PERMILLE,
            "Limit of priority `high`, of the pool's lowest ask."),
    PRESENT(S, limit_critical_permille, critical_present, 1, 1000000000, PERMILLE,
            "Limit of priority `critical`, of the pool's lowest ask."),
    PRESENT(S, names_burn, names_burn_present, 0, 1, "0 or 1",
            "1: a bid for instances never takes a name that its project used before."),
    PRESENT(S, tier_instant_start_ms, instant_start_present, 0, 3600000, "ms",
            "Time in which work of tier `instant` starts."),
    PRESENT(S, tier_seconds_start_ms, seconds_start_present, 0, 3600000, "ms",
            "Time in which work of tier `seconds` starts."),
    PRESENT(S, tier_minute_start_ms, minute_start_present, 0, 3600000, "ms",
            "Time in which work of tier `minute` starts."),
    PRESENT(S, tier_minutes_start_ms, minutes_start_present, 0, 3600000, "ms",
            "Time in which work of tier `minutes` starts."),
    PRESENT(S, tier_instant_loss_udollar_per_hour, instant_loss_present, 0, RATE_MOST, UNIT_RATE,
            "What a unit of tier `instant` is worth that cannot start: up to that it is held."),
    PRESENT(S, tier_seconds_loss_udollar_per_hour, seconds_loss_present, 0, RATE_MOST, UNIT_RATE,
            "What a unit of tier `seconds` is worth that cannot start: up to that it is held."),
    PRESENT(S, tier_minute_loss_udollar_per_hour, minute_loss_present, 0, RATE_MOST, UNIT_RATE,
            "What a unit of tier `minute` is worth that cannot start: up to that it is held."),
    PRESENT(S, tier_minutes_loss_udollar_per_hour, minutes_loss_present, 0, RATE_MOST, UNIT_RATE,
            "What a unit of tier `minutes` is worth that cannot start: up to that it is held."),
};
RECORD(api_settings, "Settings of the operator; in a change only those present count.");

/* ---- console -------------------------------------------------------------------------------------- */

static const struct field api_console_code_fields[] = {
    TEXT(api_console_code, code, KEEP, "Good once, for two minutes."),
    TEXT(api_console_code, url, KEEP, "Where to open the console with it."),
    COUNT(api_console_code, expires_ms, KEEP, TIME_UNIT, "When it stops working."),
};
RECORD(api_console_code, "A code to sign in to the console with.");

static const struct field api_console_sign_in_fields[] = {
    SHORT(api_console_sign_in, code, FIELD_REQUIRED, NAME_MOST, "A code made for the console."),
};
RECORD(api_console_sign_in, "Signing in to the console.");
