/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes clusters. A control plane is the operator's: none can be registered yet, so that none can
 * be asked for, and the lists are empty. */
#include "server/mithril.h"

void mithril_cluster_list(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(64);
    (void)view;
    if (mithril_project_needed(call) == 0)
        return;
    json_open(&out, '[');
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}

void mithril_cluster_create(struct api_call *call, const struct core_view *view)
{
    const struct mithril_cluster_create *create = call->input;
    (void)view;
    if (mithril_project(call, create->project) == 0)
        return;
    if (create->ssh_keys.count == 0)
        call_refuse(call, 400, "ssh_keys", "is empty, at least one is needed");
    else
        call_refuse(call, 400, "region", "no control plane is registered with this server: its operator has none to give");
}

void mithril_cluster_get(struct api_call *call, const struct core_view *view)
{
    (void)view;
    call_refuse(call, 404, NULL, "cluster not found");
}

void mithril_cluster_delete(struct api_call *call, const struct core_view *view)
{
    (void)view;
    call_refuse(call, 404, NULL, "cluster not found");
}

/* Of control planes. */
void mithril_cluster_images(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT(64);
    (void)view;
    if (!http_request_query(call->request, "region").size) {
        call_refuse(call, 400, "region", "is missing");
        return;
    }
    json_open(&out, '[');
    json_close(&out, ']');
    mithril_answer(call, 200, &out);
}
