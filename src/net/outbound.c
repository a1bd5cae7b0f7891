/* SPDX-License-Identifier: Apache-2.0 */
#include "net/outbound.h"

#include "base/check.h"
#include "base/number.h"
#include "net/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>

/* ---- addresses ---- */

struct span4 {
    uint32_t first;
    int bits;
};

static bool four_public(uint32_t address)
{
    /* IANA's special-purpose registry, and multicast and what lies above it. */
    static const struct span4 special[] = {
        {0x00000000, 8},  /* this network */
        {0x0a000000, 8},  /* private */
        {0x64400000, 10}, /* of carriers */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local: clouds tell their secrets there */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* protocol assignments */
        {0xc0000200, 24}, /* examples */
        {0xc0586300, 24}, /* relays of 6to4 */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarks */
        {0xc6336400, 24}, /* examples */
        {0xcb007100, 24}, /* examples */
        {0xe0000000, 3},  /* multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < ARRAY_COUNT(special); i++)
        if ((address ^ special[i].first) >> (32 - special[i].bits) == 0)
            return false;
    return true;
}

struct span6 {
    unsigned char first[16];
    int bits;
};

static bool in_span6(const unsigned char *address, const struct span6 *span)
{
    int whole = span->bits / 8, rest = span->bits % 8;
    return memcmp(address, span->first, (size_t)whole) == 0 && (rest == 0 || (address[whole] ^ span->first[whole]) >> (8 - rest) == 0);
}

static bool six_public(const unsigned char *address)
{
    static const struct span6 four_inside[] = {
        {{[10] = 0xff, 0xff}, 96},                  /* ::ffff:0:0/96 */
        {{0x00, 0x64, 0xff, 0x9b}, 96},             /* 64:ff9b::/96, NAT64 */
    };
    static const struct span6 global = {{0x20}, 3}; /* 2000::/3: all that was ever given out */
    static const struct span6 special[] = {
        {{0x20, 0x01}, 23},             /* protocol assignments, Teredo among them */
        {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* examples */
        {{0x20, 0x02}, 16},             /* 6to4 */
        {{0x3f, 0xff}, 20},             /* examples */
    };
    for (size_t i = 0; i < ARRAY_COUNT(four_inside); i++)
        if (in_span6(address, &four_inside[i])) {
            uint32_t four;
            memcpy(&four, address + 12, sizeof four);
            return four_public(ntohl(four));
        }
    for (size_t i = 0; i < ARRAY_COUNT(special); i++)
        if (in_span6(address, &special[i]))
            return false;
    return in_span6(address, &global);
}

bool outbound_address_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        return four_public(ntohl(four.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return six_public(six.sin6_addr.s6_addr);
    }
    return false;
}

/* ---- URLs ---- */

/* What can be said of a host before it is looked up. */
static bool host_public(const char *host)
{
    char bare[64];
    size_t size = strlen(host);
    bool bracket = host[0] == '[' && size > 1 && size < sizeof bare;
    memcpy(bare, host + bracket, MIN(size - 2 * bracket, sizeof bare - 1));
    bare[MIN(size - 2 * bracket, sizeof bare - 1)] = '\0';
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, bare, &four.sin_addr) == 1)
        return outbound_address_public((const struct sockaddr *)&four);
    if (inet_pton(AF_INET6, bare, &six.sin6_addr) == 1)
        return outbound_address_public((const struct sockaddr *)&six);
    return !http_host_is_loopback(host);
}

static bool url_has(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

static void url_print(CURLU *url, struct buf *server, struct buf *path)
{
    char *host = NULL, *port = NULL, *folder = NULL, *query = NULL;
    CHECK(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK);
    CHECK(curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
    CHECK(curl_url_get(url, CURLUPART_PATH, &folder, 0) == CURLUE_OK);
    buf_printf(server, "https://%s:%s", host, port);
    buf_append_text(path, folder);
    if (curl_url_get(url, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
        buf_printf(path, "?%s", query);
    curl_free(host);
    curl_free(port);
    curl_free(folder);
    curl_free(query);
}

/* Plain letters alone: what is no letter of a URL has to be percent-encoded by whoever writes it. */
static bool url_clean(struct str url)
{
    for (size_t i = 0; i < url.size; i++)
        if (url.data[i] <= ' ' || url.data[i] > '~')
            return false;
    return url.size > 0 && url.size <= OUTBOUND_URL_MOST;
}

int outbound_url_split(struct str text, bool allow_private, struct buf *ret_server, struct buf *ret_path, struct error *err)
{
    if (!url_clean(text))
        return error_set(err, -EINVAL, "not a URL of 1 to %d printable characters", OUTBOUND_URL_MOST);
    _cleanup_free_ char *copy = str_dup(text);
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL;
    CHECK(url);
    int rc = 0;
    bool parsed = curl_url_set(url, CURLUPART_URL, copy, 0) == CURLUE_OK && curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    if (!parsed || strcmp(scheme, "https") != 0)
        rc = error_set(err, -EINVAL, "not a URL that can be called, allowed is https://HOST/PATH");
    else if (url_has(url, CURLUPART_USER) || url_has(url, CURLUPART_PASSWORD) || url_has(url, CURLUPART_FRAGMENT))
        rc = error_set(err, -EINVAL, "holds a user, a password or a fragment, allowed is https://HOST/PATH?QUERY");
    else if (!allow_private && !host_public(host))
        rc = error_set(err, -EACCES, "%s is not an address of the public internet: this server calls no others", host);
    else
        url_print(url, ret_server, ret_path);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return rc;
}
