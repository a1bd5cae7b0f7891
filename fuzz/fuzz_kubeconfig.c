/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a kubeconfig; what it gives is ended by zero bytes. */

#include "base/check.h"
#include "base/memory.h"
#include "records/kubeconfig.h"

static void text_check(struct str text)
{
    CHECK(text.data == NULL || strlen(text.data) <= text.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(arena_fini) struct arena arena = {};
    struct kubeconfig config;
    struct error err = {};
    if (kubeconfig_parse((struct str){(const char *)data, size}, &arena, &config, &err) < 0)
        return 0;
    text_check(config.server);
    text_check(config.authority);
    text_check(config.token);
    text_check(config.certificate);
    text_check(config.certificate_key);
    return 0;
}
