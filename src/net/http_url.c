/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_client.h"

#include <arpa/inet.h>
#include <strings.h>

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void http_escape(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_unreserved(c)) {
            buf_append_byte(out, (char)c);
            continue;
        }
        char code[3] = {'%', digits[c >> 4], digits[c & 15]};
        buf_append(out, code, sizeof code);
    }
}

bool http_host_is_loopback(const char *host)
{
    char bare[64];
    size_t size = strlen(host);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']')
        host++, size -= 2;
    if (size >= sizeof bare)
        return false;
    memcpy(bare, host, size);
    bare[size] = '\0';
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, bare, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, bare, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcasecmp(bare, "localhost") == 0;
}
