/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's settings. */
#include "server/api_route.h"

#include "wire/record.h"

#define SETTING(setting, member, present)                                                          \
    {                                                                                              \
        setting, offsetof(struct api_settings, member), offsetof(struct api_settings, present)     \
    }
static const struct {
    int name; /* enum market_setting or engine_setting */
    size_t value, present;
} settings[] = {
    SETTING(SETTING_TICK_MS, tick_ms, tick_present),
    SETTING(SETTING_HORIZON_MS, horizon_ms, horizon_present),
    SETTING(SETTING_MINIMUM_RUN_MS, minimum_run_ms, minimum_run_present),
    SETTING(SETTING_RAMP_PERMILLE, ramp_permille, ramp_present),
    SETTING(SETTING_FEE_PERMILLE, fee_permille, fee_present),
    SETTING(SETTING_TERM_MS, term_ms, term_present),
    SETTING(SETTING_KILL_MS, kill_ms, kill_present),
    SETTING(SETTING_CHECKPOINT_MS, checkpoint_ms, checkpoint_present),
    SETTING(SETTING_LARGE_TENANT_PERMILLE, large_tenant_permille, large_tenant_present),
    SETTING(SETTING_SWEEP_CANDIDATES, sweep_candidates, sweep_present),
    SETTING(SETTING_CONTACT_TIMEOUT_MS, contact_timeout_ms, contact_timeout_present),
    SETTING(SETTING_RETAIN_MS, retain_ms, retain_present),
    SETTING(SETTING_LIMIT_LOW_PERMILLE, limit_low_permille, low_present),
    SETTING(SETTING_LIMIT_NORMAL_PERMILLE, limit_normal_permille, normal_present),
    SETTING(SETTING_LIMIT_HIGH_PERMILLE, limit_high_permille, high_present),
    SETTING(SETTING_LIMIT_CRITICAL_PERMILLE, limit_critical_permille, critical_present),
    SETTING(SETTING_NAMES_BURN, names_burn, names_burn_present),
    SETTING(SETTING_TIER1_START_MS, tier_instant_start_ms, instant_start_present),
    SETTING(SETTING_TIER2_START_MS, tier_seconds_start_ms, seconds_start_present),
    SETTING(SETTING_TIER3_START_MS, tier_minute_start_ms, minute_start_present),
    SETTING(SETTING_TIER4_START_MS, tier_minutes_start_ms, minutes_start_present),
    SETTING(SETTING_TIER1_LOSS, tier_instant_loss_udollar_per_hour, instant_loss_present),
    SETTING(SETTING_TIER2_LOSS, tier_seconds_loss_udollar_per_hour, seconds_loss_present),
    SETTING(SETTING_TIER3_LOSS, tier_minute_loss_udollar_per_hour, minute_loss_present),
    SETTING(SETTING_TIER4_LOSS, tier_minutes_loss_udollar_per_hour, minutes_loss_present),
};

static void answer_settings(struct api_call *call, const struct engine *e)
{
    struct api_settings all = {0};
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        int64_t value = engine_setting(e, settings[i].name);
        memcpy((char *)&all + settings[i].value, &value, sizeof value);
        *((bool *)&all + settings[i].present) = true;
    }
    call_answer(call, 200, &api_settings_record, &all);
}

void route_settings_get(struct api_call *call, const struct core_view *view)
{
    answer_settings(call, view->engine);
}

static void set_then(struct api_call *call, const struct core_answer *answer)
{
    for (size_t i = 0; i < call->push.count; i++)
        if (answer->outcomes[i].code != ENGINE_OK) {
            call_refuse_outcome(call, answer->engine, &answer->outcomes[i]);
            return;
        }
    answer_settings(call, answer->engine);
}

void route_settings_set(struct api_call *call)
{
    const char *given = call->input;
    struct engine_command *commands = call_alloc(call, sizeof *commands * ARRAY_COUNT(settings));
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        bool present;
        memcpy(&present, given + settings[i].present, sizeof present);
        if (!present)
            continue;
        commands[count].type = ENGINE_SETTING_SET;
        commands[count].setting.name = settings[i].name;
        memcpy(&commands[count++].setting.value, given + settings[i].value, sizeof(int64_t));
    }
    if (count)
        call_push(call, commands, count, set_then);
    else
        call_refuse(call, 400, NULL, "no setting is named; GET /v1/settings shows them");
}
