/* SPDX-License-Identifier: Apache-2.0 */
#include "net/mail.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/number.h"
#include "net/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#define CONNECT_TIMEOUT_MS 10000L
#define TIMEOUT_MS 30000L

struct mail_server {
    char *url; /* without user and password */
    char *user, *password;
    bool plain; /* on loopback */
};

/* The parts of curl's URL that are ours to keep. */
static char *part(CURLU *url, CURLUPart which, unsigned flags)
{
    char *text = NULL, *copy = NULL;
    if (curl_url_get(url, which, &text, flags) == CURLUE_OK)
        copy = xstrdup(text);
    curl_free(text);
    return copy;
}

static int parts_take(struct mail_server *s, CURLU *url, struct error *err)
{
    _cleanup_free_ char *scheme = part(url, CURLUPART_SCHEME, 0), *host = part(url, CURLUPART_HOST, 0), *port = part(url, CURLUPART_PORT, 0);
    _cleanup_free_ char *path = part(url, CURLUPART_PATH, 0), *query = part(url, CURLUPART_QUERY, 0);
    bool mail = scheme && host && (strcmp(scheme, "smtp") == 0 || strcmp(scheme, "smtps") == 0);
    if (!mail || query || (path && path[0] && strcmp(path, "/") != 0))
        return error_set(err, -EINVAL, "not the URL of a mail server: smtp://HOST:PORT or smtps://HOST:PORT");
    char text[1024];
    int size = snprintf(text, sizeof text, "%s://%s%s%s", scheme, host, port ? ":" : "", port ? port : "");
    if (size < 0 || (size_t)size >= sizeof text)
        return error_set(err, -EINVAL, "the URL of the mail server is too long");
    s->url = xstrdup(text);
    s->plain = strcmp(scheme, "smtp") == 0 && http_host_is_loopback(host);
    s->user = part(url, CURLUPART_USER, CURLU_URLDECODE);
    s->password = part(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
    return 0;
}

int mail_server_new(struct mail_server **ret, const char *text, const char *password, struct error *err)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == 0); /* counted, and safe between threads */
    struct mail_server *s = xcalloc(1, sizeof *s);
    CURLU *url = curl_url();
    CHECK(url);
    bool parsed = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;
    int r = parsed ? parts_take(s, url, err) : error_set(err, -EINVAL, "not the URL of a mail server: smtp://HOST:PORT or smtps://HOST:PORT");
    curl_url_cleanup(url);
    if (r == 0 && password && s->password == NULL)
        s->password = xstrdup(password);
    if (r == 0 && s->password && (s->user == NULL || s->user[0] == 0))
        r = error_set(err, -EINVAL, "there is a password, and no user in the URL: smtp://USER@HOST");
    if (r == 0)
        *ret = TAKE(s);
    mail_server_free(s);
    return r;
}

void mail_server_free(struct mail_server *s)
{
    if (s == NULL)
        return;
    if (s->password)
        explicit_bzero(s->password, strlen(s->password));
    xfree(s->url);
    xfree(s->user);
    xfree(s->password);
    xfree(s);
}

/* ---- one mail ---- */

struct sending {
    struct str rest;
    atomic_bool *stop;
};

static size_t give(char *to, size_t size, size_t count, void *context)
{
    struct sending *sending = context;
    size_t given = MIN(size * count, sending->rest.size);
    if (given)
        memcpy(to, sending->rest.data, given);
    sending->rest = (struct str){sending->rest.data + given, sending->rest.size - given};
    return given;
}

static int look(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct sending *sending = context;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(sending->stop);
}

static void set_up(CURL *easy, const struct mail_server *s, struct sending *sending)
{
    curl_easy_setopt(easy, CURLOPT_URL, s->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USE_SSL, s->plain ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
    if (s->user)
        curl_easy_setopt(easy, CURLOPT_USERNAME, s->user);
    if (s->password)
        curl_easy_setopt(easy, CURLOPT_PASSWORD, s->password);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, give);
    curl_easy_setopt(easy, CURLOPT_READDATA, sending);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, look);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, sending);
}

int mail_send(const struct mail_server *s, const struct mail *mail, atomic_bool *stop, struct error *err)
{
    struct sending sending = {mail->text, stop};
    char from[320], to[320], why[CURL_ERROR_SIZE] = "";
    CURL *easy = curl_easy_init();
    CHECK(easy);
    snprintf(from, sizeof from, "<%s>", mail->from);
    snprintf(to, sizeof to, "<%s>", mail->to);
    struct curl_slist *recipients = curl_slist_append(NULL, to);
    CHECK(recipients);
    set_up(easy, s, &sending);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients);
    CURLcode result = curl_easy_perform(easy);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    curl_slist_free_all(recipients);
    if (result == CURLE_OK)
        return 0;
    if (result == CURLE_ABORTED_BY_CALLBACK)
        return error_set(err, -ECANCELED, "%s: the mail was stopped", s->url);
    /* 530 to 538 are about who we are, not about this mail */
    bool refused = (result == CURLE_SEND_ERROR || result == CURLE_WEIRD_SERVER_REPLY) && status / 100 == 5 && status / 10 != 53;
    return error_set(err, refused ? -EREMOTEIO : -EIO, "%s: %s (%ld)", s->url, why[0] ? why : curl_easy_strerror(result), status);
}
