/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens with which machines join, and the line to type there. The token goes by the environment
 * and by curl's standard input: never by an argument list or a URL. */
#include "server/api_route.h"

#include "wire/record.h"

#define LIBRARIES "libsqlite3-0 libsodium23 libhwloc15 libcurl3-gnutls libyaml-0-2 libarchive13"
#define VALID_MOST_MS ((time_ms)600000)

static void command_text(struct api_call *call, const char *token, const char *sha256,
                         struct buf *out)
{
    const struct api_options *o = &call->api->options;
    buf_printf(out,
               "TESSERA_TOKEN=%s sh -c 'set -e; umask 077; printf \"Authorization: Bearer %%s\\n\" "
               "\"$TESSERA_TOKEN\" | curl -fsS ",
               token);
    if (o->pin)
        buf_printf(out, "-k --pinnedpubkey \"%s\" ", o->pin);
    buf_printf(
        out,
        "-H @- -o tessera.new %s/v1/binary; echo \"%s  tessera.new\" | sha256sum -c --quiet; "
        "chmod 755 tessera.new; mv tessera.new tessera; ./tessera version >/dev/null || { echo "
        "\"install what "
        "tessera is linked with (Debian 12: apt-get install " LIBRARIES
        "), then type this again\" >&2; exit 1; }; exec ./tessera agent --join --data "
        "tessera-agent --server %s",
        o->advertise, sha256, o->advertise);
    if (o->pin)
        buf_printf(out, " --pin \"%s\"", o->pin);
    else
        buf_append_text(out, " --insecure");
    buf_append_text(out, "'");
}

static void token_then(struct api_call *call, const struct core_answer *answer)
{
    const struct api_options *o = &call->api->options;
    const char *token = call->own;
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    _cleanup_buf_ struct buf command = BUF_INIT(4096);
    struct api_node_token_made made = {.token = str_from(token),
                                       .expires_ms = call->push.commands->key.expires};
    if (o->advertise) {
        command_text(call, token, api_binary_sha256(call->api->binary), &command);
        made.command = buf_str(&command);
    } else {
        made.text = STR("This server listens on loopback only, where no other machine reaches it. "
                        "Stop it and start it with "
                        "`tessera serve --listen ADDRESS` (or `make up LISTEN=ADDRESS`), then ask "
                        "again. The token works on this machine.");
    }
    call_answer(call, 201, &api_node_token_made_record, &made);
}

static void token_push(struct api_call *call)
{
    const struct api_node_token *asked = call->input;
    struct engine_command *command = key_command(
        call, ROLE_JOIN, asked->valid_ms ? MIN(asked->valid_ms, VALID_MOST_MS) : VALID_MOST_MS);
    command->key.project = call->who.project;
    command->key.kind = PRINCIPAL_AGENT;
    command->key.principal = STR("node join");
    call_push(call, command, 1, token_then);
}

/* The digest of the executable is made once, away from the loop. */
static void token_read(struct api_call *call, const struct core_view *view)
{
    (void)view;
    struct error err = {0};
    if (api_binary_load(call->api->binary, &err) < 0) {
        log_error("%s", err.text);
        call_refuse(call, 503, NULL, "the server cannot read its own executable");
        return;
    }
    token_push(call);
}

void route_token_make(struct api_call *call)
{
    if (call->api->options.advertise)
        call_query(call, token_read);
    else
        token_push(call);
}
