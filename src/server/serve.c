/* SPDX-License-Identifier: Apache-2.0 */
#include "server/serve.h"

#include "base/log.h"
#include "base/memory.h"
#include "net/certificate.h"
#include "net/http_server.h"
#include "net/mail.h"
#include "records/workload.h"
#include "server/api.h"
#include "server/core.h"
#include "server/file.h"
#include "server/serve_options.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOSTS_MAX 6
#define CONNECTIONS_MAX 16384
#define DESCRIPTORS_OWN 128 /* files of our own */

struct serve {
    struct serve_options options;
    struct core *core;
    struct api *api;
    struct http_server *http;
    struct certificate *certificate;
    const char *hosts[HOSTS_MAX];
    char advertised_host[256];
    struct mail_server *mail;
    char mail_from[256];
    struct buf webhook_authority; /* PEM; empty: the system's */
    unsigned connections;
    int signals, failed; /* signalfd; eventfd: the core met something it cannot live with */
    pthread_t loop;
    bool looping;
};

/* ---- between the parts -------------------------------------------------------------------------------------- */

static void on_request(void *context, struct http_request *r)
{
    struct serve *s = context;
    api_handler(s->api, r);
}

static void on_head(void *context, struct http_request *r)
{
    struct serve *s = context;
    api_admit(s->api, r);
}

static void on_commit(void *context, const struct core_commit *commit)
{
    struct serve *s = context;
    api_committed(s->api, commit);
}

static void on_failure(void *context)
{
    struct serve *s = context;
    eventfd_write(s->failed, 1);
}

/* ---- the machine ------------------------------------------------------------------------------------------------- */

static void descriptors_raise(struct serve *s)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_cur = limit.rlim_max = 1024;
    struct rlimit wanted = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        limit = wanted;
    rlim_t room = limit.rlim_cur > 2 * DESCRIPTORS_OWN ? limit.rlim_cur - DESCRIPTORS_OWN : DESCRIPTORS_OWN;
    s->connections = room > CONNECTIONS_MAX ? CONNECTIONS_MAX : (unsigned)room;
}

static int signals_take(struct serve *s, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a full disk, not an end */
    /* Before any thread is started, so that all of them inherit it. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    s->failed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return s->signals < 0 || s->failed < 0 ? error_set(err, -errno, "signalfd: %s", strerror(errno)) : 0;
}

static int folder_make(const char *path, struct error *err)
{
    _cleanup_free_ char *partial = xstrdup(path);
    for (char *slash = partial + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        mkdir(partial, 0755);
    }
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return error_set(err, -errno, "--data %s: %s", path, strerror(errno));
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        return error_set(err, -ENOTDIR, "--data %s: is not a folder", path);
    return 0;
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------ */

static int certificate_made(struct serve *s, const char *cert, const char *key, struct error *err)
{
    if (data_exists(cert) && data_exists(key))
        return 0;
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    const char *wanted[] = {s->options.address, s->advertised_host, name, "localhost"}, *names[ARRAY_COUNT(wanted)];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++)
        if (wanted[i][0] && strcmp(wanted[i], "0.0.0.0") != 0 && strcmp(wanted[i], "::") != 0)
            names[count++] = wanted[i];
    log_info("making a self-signed certificate %s", cert);
    return certificate_make(cert, key, names, count, err);
}

static int certificate_ready(struct serve *s, struct error *err)
{
    const struct serve_options *o = &s->options;
    if (o->listen == NULL || o->insecure)
        return 0;
    _cleanup_free_ char *cert = o->tls_cert ? xstrdup(o->tls_cert) : data_path(o->data, "tls-cert.pem");
    _cleanup_free_ char *key = o->tls_key ? xstrdup(o->tls_key) : data_path(o->data, "tls-key.pem");
    int r = o->tls_cert ? 0 : certificate_made(s, cert, key, err);
    return r < 0 ? r : certificate_load(&s->certificate, cert, key, err);
}

/* ---- client.yaml ---------------------------------------------------------------------------------------------------- */

static struct str yaml_value(struct str text, const char *name)
{
    while (text.size > 0) {
        struct str line = str_cut(&text, '\n');
        struct str found = str_trim(str_cut(&line, ':'));
        if (str_is(found, name))
            return str_trim(line);
    }
    return (struct str){0};
}

/* The key stays as the first start wrote it; address and pin are those of this start. */
static int client_write(struct serve *s, struct error *err)
{
    _cleanup_free_ char *path = data_path(s->options.data, "client.yaml");
    _cleanup_buf_ struct buf old = BUF_INIT(1 << 20);
    if (data_read(path, &old, NULL) < 0)
        return 0; /* taken away by its owner: the key is known nowhere else */
    struct str key = yaml_value(buf_str(&old), "key");
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    bool tls = s->certificate != NULL;
    buf_printf(&text, "server: %s\nkey: %.*s\n", tls ? s->options.advertised : s->options.url, STR_ARGS(key));
    if (tls)
        buf_printf(&text, "pin: %s\n", certificate_pin(s->certificate));
    return key.size == 0 || str_equal(buf_str(&old), buf_str(&text)) ? 0 : data_write(path, buf_str(&text), err);
}

/* ---- start ------------------------------------------------------------------------------------------------------------ */

static int listen_all(struct serve *s, struct error *err)
{
    struct serve_options *o = &s->options;
    struct http_listen loopback = {.address = "127.0.0.1", .port = o->port};
    int r = http_server_listen(s->http, &loopback, &o->port, err);
    if (r == 0)
        snprintf(o->url, sizeof o->url, "http://127.0.0.1:%d", o->port);
    if (r < 0 || o->listen == NULL)
        return r;
    struct http_listen wide = {.address = o->address, .port = o->listen_port, .certificate = s->certificate, .insecure = o->insecure};
    return http_server_listen(s->http, &wide, NULL, err);
}

static size_t hosts_list(struct serve *s)
{
    size_t count = 0;
    s->hosts[count++] = "127.0.0.1";
    s->hosts[count++] = "localhost";
    if (s->options.address[0])
        s->hosts[count++] = s->options.address;
    if (s->advertised_host[0])
        s->hosts[count++] = s->advertised_host;
    return count;
}

static int authority_read(struct serve *s, struct error *err)
{
    s->webhook_authority.limit = 1 << 20;
    int r = s->options.webhook_ca ? data_read(s->options.webhook_ca, &s->webhook_authority, err) : 0;
    if (r < 0)
        return error_prefix(err, "--webhook-ca"), r;
    if (s->options.webhook_ca && strstr(buf_text(&s->webhook_authority), "-----BEGIN CERTIFICATE-----") == NULL)
        return error_set(err, -EINVAL, "--webhook-ca: %s holds no certificate in PEM", s->options.webhook_ca);
    return 0;
}

static int password_read(const char *path, struct buf *ret, struct error *err)
{
    struct stat status;
    if (stat(path, &status) == 0 && (status.st_mode & 077))
        return error_set(err, -EPERM, "--smtp-password-file: others can read %s; chmod 600", path);
    int r = data_read(path, ret, err);
    if (r < 0)
        return error_prefix(err, "--smtp-password-file");
    while (ret->size && (ret->data[ret->size - 1] == '\n' || ret->data[ret->size - 1] == '\r'))
        ret->data[--ret->size] = '\0';
    return 0;
}

static int mail_ready(struct serve *s, struct error *err)
{
    const struct serve_options *o = &s->options;
    _cleanup_buf_ struct buf password = BUF_INIT(4096);
    char host[128] = "";
    if (o->smtp == NULL)
        return 0;
    gethostname(host, sizeof host - 1);
    if (o->smtp_from)
        snprintf(s->mail_from, sizeof s->mail_from, "%s", o->smtp_from);
    else
        snprintf(s->mail_from, sizeof s->mail_from, "tessera@%s", host[0] ? host : "localhost");
    int r = workload_email_check(str_from(s->mail_from), "--smtp-from", err);
    if (r < 0)
        return r;
    r = o->smtp_password_file ? password_read(o->smtp_password_file, &password, err) : 0;
    if (r < 0)
        return r;
    r = mail_server_new(&s->mail, o->smtp, password.size ? buf_text(&password) : NULL, err);
    if (password.size)
        explicit_bzero(password.data, password.size);
    return r < 0 ? error_prefix(err, "--smtp") : 0;
}

static int api_ready(struct serve *s, struct error *err)
{
    const struct serve_options *o = &s->options;
    int r = authority_read(s, err);
    if (r == 0)
        r = mail_ready(s, err);
    if (r < 0)
        return r;
    const struct api_options options = {
        .region_names = o->region_names,
        .core = s->core,
        .http = s->http,
        .console = o->console_path[0] ? o->console_path : NULL,
        .hosts = s->hosts,
        .host_count = hosts_list(s),
        .url = o->url,
        .advertise = o->advertised[0] ? o->advertised : NULL,
        .pin = s->certificate ? certificate_pin(s->certificate) : NULL,
        .mail = s->mail,
        .mail_from = s->mail_from,
        .webhook_allow_private = o->webhook_allow_private,
        .webhook_authority = s->webhook_authority.size ? buf_text(&s->webhook_authority) : NULL,
    };
    return api_new(&s->api, &options, err);
}

static int server_ready(struct serve *s, struct error *err)
{
    const struct core_options core = {.data = s->options.data, .committed = on_commit, .failed = on_failure, .context = s,
                                      .rebuild_tables = s->options.rebuild_tables, .memory = s->options.memory,
                                      .snapshot_every = (uint64_t)s->options.snapshot_every};
    const struct http_server_options http = {.handler = on_request, .admit = on_head, .context = s, .connection_limit = s->connections};
    int r = folder_make(s->options.data, err);
    umask(0077); /* the journal holds what was submitted, secrets and all */
    if (r == 0)
        r = core_open(&s->core, &core, err);
    if (r == 0)
        r = certificate_ready(s, err);
    if (r == 0)
        r = http_server_new(&s->http, &http, err);
    if (r == 0)
        r = listen_all(s, err);
    if (r == 0)
        r = api_ready(s, err);
    if (r == 0)
        r = client_write(s, err);
    return r;
}

static void *loop_main(void *context)
{
    struct serve *s = context;
    pthread_setname_np(pthread_self(), "net");
    http_server_run(s->http);
    return NULL;
}

static int server_start(struct serve *s, struct error *err)
{
    int r = core_start(s->core, s->http, err);
    if (r < 0)
        return r;
    r = pthread_create(&s->loop, NULL, loop_main, s);
    s->looping = r == 0;
    return r == 0 ? 0 : error_set(err, -r, "no thread: %s", strerror(r));
}

static void ready_say(const struct serve *s)
{
    const struct serve_options *o = &s->options;
    printf("tessera %s serves %s", TESSERA_VERSION, o->url);
    if (o->listen)
        printf(" and %s", o->advertised);
    if (s->certificate)
        printf(" (pin %s)", certificate_pin(s->certificate));
    printf(", data in %s\n", o->data);
    fflush(stdout);
}

/* ---- stop ------------------------------------------------------------------------------------------------------------- */

static void api_end(void *context)
{
    struct serve *s = context;
    api_stop(s->api);
}

/* Waits for a signal or a failure. */
static void serve_wait(struct serve *s)
{
    struct pollfd watched[] = {{.fd = s->signals, .events = POLLIN}, {.fd = s->failed, .events = POLLIN}};
    while (poll(watched, ARRAY_COUNT(watched), -1) < 0 && errno == EINTR)
        ;
    struct signalfd_siginfo info;
    if (watched[0].revents && read(s->signals, &info, sizeof info) == sizeof info)
        log_info("stopping (signal %u)", info.ssi_signo);
}

static int server_stop(struct serve *s, struct error *err)
{
    http_server_post(s->http, api_end, s);
    int r = core_stop(s->core, err);
    http_server_stop(s->http);
    if (s->looping)
        pthread_join(s->loop, NULL);
    return r;
}

/* The core's threads may still answer: they end before the API and the server go. */
static void serve_fini(struct serve *s)
{
    core_close(s->core);
    api_free(s->api);
    http_server_free(s->http);
    certificate_free(s->certificate);
    mail_server_free(s->mail);
    buf_fini(&s->webhook_authority);
    if (s->signals >= 0)
        close(s->signals);
    if (s->failed >= 0)
        close(s->failed);
}

static int serve_run(struct serve *s, struct error *err)
{
    int r = signals_take(s, err);
    if (r == 0)
        r = server_ready(s, err);
    if (r < 0)
        return r;
    r = server_start(s, err);
    if (r == 0) {
        ready_say(s);
        serve_wait(s);
    }
    struct error stop = {};
    int stopped = server_stop(s, r < 0 ? &stop : err);
    const char *failure = core_failure(s->core);
    if (r == 0 && failure)
        r = error_set(err, -EIO, "%s", failure);
    if (r == 0 && stopped == 0)
        log_info("stopped seq=%llu", (unsigned long long)core_durable_seq(s->core));
    return r < 0 ? r : stopped;
}

int serve_main(int argc, char **argv)
{
    struct serve s = {.signals = -1, .failed = -1};
    struct error err = {};
    int r = serve_options_parse(&s.options, argc, argv, &err);
    if (r == 1)
        return 0;
    if (r < 0) {
        fprintf(stderr, "tessera serve: %s\n", err.text);
        return 2;
    }
    url_host(s.options.advertised, s.advertised_host, sizeof s.advertised_host);
    descriptors_raise(&s);
    r = serve_run(&s, &err);
    serve_fini(&s);
    if (r < 0)
        fprintf(stderr, "tessera serve: %s\n", err.text);
    return r < 0 ? 1 : 0;
}
