/* SPDX-License-Identifier: Apache-2.0 */
/* control-plane add, control-plane list, control-plane remove. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/listing.h"
#include "records/api.h"
#include "records/object.h"

#include <stdio.h>

/* A file that an option names, because what stands in it is for nobody's list of processes. */
static int take_file(const struct cli *cli, const char *option, struct buf *ret)
{
    const char *path = cli_option(cli, option);
    struct error err = {0};
    if (path == NULL)
        return cli_fail(EXIT_USAGE, "control-plane add: --%s FILE is missing", option);
    return input_read(path, ret, &err) < 0 ? cli_fail(EXIT_USAGE, "--%s: %s", option, err.text) : EXIT_OK;
}

int command_control_plane_add(struct cli *cli)
{
    _cleanup_buf_ struct buf kubeconfig = BUF_INIT(OBJECT_KUBECONFIG_MOST), join = BUF_INIT(OBJECT_JOIN_MOST);
    const char *address = cli_option(cli, "address"), *region = cli_option(cli, "region"), *version = cli_option(cli, "k8s-version");
    struct api_control_plane made = {};
    int code = take_file(cli, "kubeconfig", &kubeconfig);
    if (code == EXIT_OK)
        code = take_file(cli, "join", &join);
    if (code)
        return code;
    struct api_control_plane_create wish = {.name = str_from(cli->operands[0]), .address = str_from(address ? address : ""),
        .region = str_from(region ? region : ""), .k8s_version = str_from(version ? version : ""), .kubeconfig = buf_str(&kubeconfig),
        .join_command = str_trim(buf_str(&join))};
    struct api_call call = {.path = "/v1/control-planes", .input = &api_control_plane_create_record, .value = &wish, .subject = cli->operands[0]};
    code = api_call(cli, &call, &api_control_plane_record, &made);
    explicit_bzero(kubeconfig.data, kubeconfig.size);
    explicit_bzero(join.data, join.size);
    if (code == EXIT_OK && !cli_print_json(cli))
        printf("%.*s: %.*s at %.*s, for Kubernetes %.*s\n", STR_ARGS(made.name), STR_ARGS(made.id), STR_ARGS(made.address), STR_ARGS(made.k8s_version));
    return code;
}

int command_control_plane_list(struct cli *cli)
{
    struct api_control_planes all = {};
    struct listing listing = {};
    int code = api_get(cli, "/v1/control-planes", &api_control_planes_record, &all);
    if (code || cli_print_json(cli))
        return code;
    const struct api_control_plane *planes = all.control_planes.items;
    listing_begin(&listing, "NAME|ID|STATE|CLUSTER|ADDRESS|REGION|VERSION|REGISTERED");
    for (size_t i = 0; i < all.control_planes.count; i++) {
        _cleanup_buf_ struct buf created = BUF_INIT(64);
        format_time(&created, planes[i].created_ms, clock_wall_ms());
        listing_str(&listing, planes[i].name);
        listing_str(&listing, planes[i].id);
        listing_str(&listing, planes[i].state);
        listing_str(&listing, planes[i].cluster.size ? planes[i].cluster : STR("-"));
        listing_str(&listing, planes[i].address);
        listing_str(&listing, planes[i].region.size ? planes[i].region : STR("any"));
        listing_str(&listing, planes[i].k8s_version);
        listing_str(&listing, buf_str(&created));
    }
    listing_end(&listing, stdout);
    return EXIT_OK;
}

int command_control_plane_remove(struct cli *cli)
{
    struct api_call call = {.method = "DELETE", .path = api_path(cli, "/v1/control-planes/", cli->operands[0], ""), .subject = cli->operands[0]};
    int code = api_call(cli, &call, NULL, NULL);
    if (code || (cli->raw.size && cli_print_json(cli)))
        return code;
    printf("%s is removed\n", cli->operands[0]);
    return EXIT_OK;
}
