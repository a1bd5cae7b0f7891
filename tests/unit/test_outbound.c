/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "net/http_client.h"
#include "net/outbound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static bool address_public(const char *text)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return outbound_address_public((struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return outbound_address_public((struct sockaddr *)&six);
}

static void the_first_and_last_of_each_special_span_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
        "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.1",
        "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "64:ff9b::10.1.2.3", "64:ff9b:1::1",
        "100::1", "fc00::1", "fd12:3456::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "2001::1", "2001:1ff:ffff::1", "2001:db8::1",
        "2002:7f00:1::1", "3fff::1", "3fff:fff::1", "4000::1", "1fff::1", "5f00::1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
        if (address_public(refused[i]))
            fail_msg("%s is taken for a public address", refused[i]);
}

static void what_lies_beside_them_is_not(void **state)
{
    (void)state;
    static const char *const allowed[] = {
        "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
        "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
        "198.20.0.0", "198.51.101.0", "203.0.114.0", "223.255.255.255", "8.8.8.8",
        "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:200::1", "2001:4860:4860::8888", "2001:db9::1", "2003::1", "2600::1", "3ffe::1", "3fff:1000::1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(allowed); i++)
        if (!address_public(allowed[i]))
            fail_msg("%s is refused", allowed[i]);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_false(outbound_address_public((struct sockaddr *)&local));
}

static void urls_are_cut_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool allow_private;
        int code;
        const char *server, *path;
    } cases[] = {
        {"https://example.org", false, 0, "https://example.org:443", "/"},
        {"https://example.org:8443/a/b?c=d&e", false, 0, "https://example.org:8443", "/a/b?c=d&e"},
        {"HTTPS://EXAMPLE.org/x", false, 0, "https://EXAMPLE.org:443", "/x"},
        {"https://[2600::1]/x", false, 0, "https://[2600::1]:443", "/x"},
        {"https://10.0.0.1/x", true, 0, "https://10.0.0.1:443", "/x"},
        {"https://10.0.0.1/x", false, -EACCES, NULL, NULL},
        {"https://0x7f.1/x", false, -EACCES, NULL, NULL},
        {"https://2130706433/x", false, -EACCES, NULL, NULL},
        {"https://[::1]/x", false, -EACCES, NULL, NULL},
        {"https://[::ffff:10.0.0.1]/x", false, -EACCES, NULL, NULL},
        {"https://localhost/x", false, -EACCES, NULL, NULL},
        {"http://example.org/", true, -EINVAL, NULL, NULL},
        {"ftp://example.org/", true, -EINVAL, NULL, NULL},
        {"example.org", true, -EINVAL, NULL, NULL},
        {"https://", true, -EINVAL, NULL, NULL},
        {"https://user@example.org/", true, -EINVAL, NULL, NULL},
        {"https://:word@example.org/", true, -EINVAL, NULL, NULL},
        {"https://example.org/#there", true, -EINVAL, NULL, NULL},
        {"https://example.org/a b", true, -EINVAL, NULL, NULL},
        {"https://example.org/a\r\nX: y", true, -EINVAL, NULL, NULL},
        {"", true, -EINVAL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        _cleanup_buf_ struct buf server = BUF_INIT(4096), path = BUF_INIT(4096);
        struct error err = {0};
        int rc = outbound_url_split(str_from(cases[i].url), cases[i].allow_private, &server, &path, &err);
        if (rc != cases[i].code)
            fail_msg("%s: %d, %s", cases[i].url, rc, err.text);
        if (rc == 0) {
            assert_string_equal(buf_text(&server), cases[i].server);
            assert_string_equal(buf_text(&path), cases[i].path);
        }
    }
    char longest[OUTBOUND_URL_MOST + 2] = "https://example.org/";
    memset(longest + strlen(longest), 'a', sizeof longest - 1 - strlen(longest));
    _cleanup_buf_ struct buf server = BUF_INIT(4096), path = BUF_INIT(4096);
    struct error err = {0};
    assert_int_equal(outbound_url_split((struct str){longest, OUTBOUND_URL_MOST + 1}, true, &server, &path, &err), -EINVAL);
    assert_int_equal(outbound_url_split((struct str){longest, OUTBOUND_URL_MOST}, true, &server, &path, &err), 0);
}

static int call(const char *url, bool stranger, bool allow_private)
{
    const struct http_client_options options = {.server = url, .stranger = stranger, .allow_private = allow_private};
    struct http_client *client = NULL;
    struct http_reply reply = {0};
    struct error err = {0};
    int rc = http_client_new(&client, &options, &err);
    if (rc == 0)
        rc = http_client_call(client, &(struct http_call){.path = "/", .timeout_ms = 5000}, &reply, &err);
    http_reply_fini(&reply);
    http_client_free(client);
    return rc;
}

/* Nobody listens on port 1: whoever tries hears that, and who is not to try does not. */
static void no_socket_is_opened_to_a_private_address(void **state)
{
    (void)state;
    assert_int_equal(call("https://127.0.0.1:1", false, false), -ECONNREFUSED);
    assert_int_equal(call("https://127.0.0.1:1", true, true), -ECONNREFUSED);
    assert_int_equal(call("https://127.0.0.1:1", true, false), -EACCES);
    assert_int_equal(call("https://localhost:1", true, false), -EACCES); /* by its name */
    assert_int_equal(call("http://127.0.0.1:1", true, true), -EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_and_last_of_each_special_span_are_refused),
        cmocka_unit_test(what_lies_beside_them_is_not),
        cmocka_unit_test(urls_are_cut_or_refused),
        cmocka_unit_test(no_socket_is_opened_to_a_private_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
