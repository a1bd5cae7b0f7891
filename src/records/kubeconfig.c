/* SPDX-License-Identifier: Apache-2.0 */
#include "records/kubeconfig.h"

#include "base/buf.h"
#include "wire/base64.h"
#include "wire/yaml.h"

#include <errno.h>

/* The value under `what` of the named entry of a list, or of its first entry. */
static const struct json_value *entry_find(const struct json_value *file, const char *list, const char *what, struct str name)
{
    const struct json_value *entries = json_get(file, list);
    for (size_t i = 0; entries && entries->type == JSON_ARRAY && i < entries->count; i++)
        if (name.size == 0 || str_equal(json_get_str(&entries->items[i], "name"), name))
            return json_get(&entries->items[i], what);
    return NULL;
}

static struct str text_keep(struct arena *arena, struct str text)
{
    return text.size ? arena_str(arena, text) : (struct str){0};
}

static int data_read(const struct json_value *from, const char *key, struct arena *arena, struct str *ret, struct error *err)
{
    struct str bytes = {0}, text = json_get_str(from, key);
    if (text.size && (!base64_decode(text, arena, &bytes) || memchr(bytes.data, 0, bytes.size)))
        return error_set(err, -EINVAL, "kubeconfig: %s is not PEM in base64", key);
    *ret = text_keep(arena, bytes);
    return 0;
}

/* What would be read from elsewhere, or run. */
static int outside_refuse(const struct json_value *cluster, const struct json_value *user, struct error *err)
{
    static const char *const of_user[] = {"client-certificate", "client-key", "tokenFile", "exec", "auth-provider"};
    if (json_get(cluster, "certificate-authority"))
        return error_set(err, -EINVAL, "kubeconfig: certificate-authority names a file, allowed is certificate-authority-data");
    for (size_t i = 0; user && i < ARRAY_COUNT(of_user); i++)
        if (json_get(user, of_user[i]))
            return error_set(err, -EINVAL, "kubeconfig: %s names what is elsewhere, allowed are token, client-certificate-data and client-key-data",
                             of_user[i]);
    return 0;
}

int kubeconfig_parse(struct str text, struct arena *arena, struct kubeconfig *ret, struct error *err)
{
    struct json_value file;
    struct error why = {0};
    *ret = (struct kubeconfig){0};
    if (text.size > KUBECONFIG_MOST)
        return error_set(err, -EINVAL, "kubeconfig: has %zu bytes, allowed are at most %d", text.size, KUBECONFIG_MOST);
    if (yaml_parse(text, arena, &file, &why) < 0)
        return error_set(err, -EINVAL, "kubeconfig: %s", why.text);
    const struct json_value *context = entry_find(&file, "contexts", "context", json_get_str(&file, "current-context"));
    const struct json_value *cluster = entry_find(&file, "clusters", "cluster", context ? json_get_str(context, "cluster") : (struct str){0});
    const struct json_value *user = entry_find(&file, "users", "user", context ? json_get_str(context, "user") : (struct str){0});
    if (cluster == NULL)
        return error_set(err, -EINVAL, "kubeconfig: no cluster in it");
    int rc = outside_refuse(cluster, user, err);
    ret->server = text_keep(arena, json_get_str(cluster, "server"));
    if (rc == 0)
        rc = data_read(cluster, "certificate-authority-data", arena, &ret->authority, err);
    if (rc || user == NULL)
        return rc;
    ret->token = text_keep(arena, json_get_str(user, "token"));
    rc = data_read(user, "client-certificate-data", arena, &ret->certificate, err);
    if (rc == 0)
        rc = data_read(user, "client-key-data", arena, &ret->certificate_key, err);
    if (rc == 0 && !ret->certificate.size != !ret->certificate_key.size)
        return error_set(err, -EINVAL, "kubeconfig: client-certificate-data and client-key-data go together");
    return rc;
}
