/* SPDX-License-Identifier: Apache-2.0 */
/* console, version. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "records/api.h"
#include "wire/json.h"
#include "wire/unit.h"

#include <stdio.h>

int command_console(struct cli *cli)
{
    struct api_console_code made = {};
    struct api_call call = {.method = "POST", .path = "/v1/console/codes"};
    int code = api_call(cli, &call, &api_console_code_record, &made);
    if (code || cli_print_json(cli))
        return code;
    _cleanup_buf_ struct buf left = BUF_INIT(64);
    span_print(&left, MAX(made.expires_ms - clock_wall_ms(), 0));
    printf("%.*s\ncode %.*s, good once, for %s\n", STR_ARGS(made.url), STR_ARGS(made.code),
           buf_text(&left));
    return EXIT_OK;
}

int command_version(struct cli *cli)
{
    if (!cli->json) {
        printf("tessera %s\n", TESSERA_VERSION);
        return EXIT_OK;
    }
    _cleanup_buf_ struct buf text = BUF_INIT(200);
    json_open(&text, '{');
    json_key(&text, "version");
    json_text(&text, TESSERA_VERSION);
    json_close(&text, '}');
    printf("%s\n", buf_text(&text));
    return EXIT_OK;
}
