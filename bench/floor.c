/* SPDX-License-Identifier: Apache-2.0 */
/* floor [BYTES]: the floor under a request. The product's own HTTP server on one thread, which
 * reads the whole body and answers as many bytes as a submit does, or BYTES; it decodes, checks and
 * keeps nothing. Prints its port on a line and serves until it is killed. */
#include "base/memory.h"
#include "net/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer(void *context, struct http_request *r)
{
    const struct str *body = context;
    static const struct http_pair headers[] = {{STR("Tessera-Seq"), STR("123456")}};
    http_respond(r, &(struct http_response){
                        .status = 201,
                        .content_type = STR("application/json"),
                        .headers = headers,
                        .header_count = 1,
                        .body = *body,
                    });
}

int main(int argc, char **argv)
{
    struct http_server *server;
    struct error err = {0};
    int port = 0;
    size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    struct str body =
        STR("{\"id\":\"work_0123456789abcdef\",\"seq\":123456,\"state\":\"waiting\"}");
    if (bytes) {
        char *text = xmalloc(bytes);
        memset(text, 'x', bytes);
        body = (struct str){text, bytes};
    }
    struct http_server_options options = {.handler = answer, .context = &body};
    if (http_server_new(&server, &options, &err) < 0 ||
        http_server_listen(server, &(struct http_listen){.address = "127.0.0.1", .port = port},
                           &port, &err) < 0) {
        fprintf(stderr, "floor: %s\n", err.text);
        return 1;
    }
    printf("%d\n", port);
    fflush(stdout);
    http_server_run(server);
    return 0;
}
