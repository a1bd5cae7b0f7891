/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_internal.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

int transport_open(struct http_transport *t, int fd, const struct certificate *certificate)
{
    *t = (struct http_transport){.fd = fd};
    if (certificate == NULL)
        return 0;
    gnutls_session_t tls;
    if (gnutls_init(&tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
        return -ENOMEM;
    static unsigned char name[] = "http/1.1";
    static const gnutls_datum_t http = {name, sizeof name - 1};
    if (gnutls_priority_set_direct(tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL) < 0 ||
        gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, certificate_credentials(certificate)) <
            0) {
        gnutls_deinit(tls);
        return -EINVAL;
    }
    gnutls_alpn_set_protocols(tls, &http, 1, 0);
    gnutls_transport_set_int(tls, fd);
    gnutls_handshake_set_timeout(tls, GNUTLS_INDEFINITE_TIMEOUT); /* the loop has its own */
    t->tls = tls;
    t->handshaking = true;
    return 0;
}

void transport_close(struct http_transport *t, bool orderly)
{
    if (t->tls) {
        if (orderly && !t->handshaking)
            gnutls_bye(t->tls, GNUTLS_SHUT_WR);
        gnutls_deinit(t->tls);
        t->tls = NULL;
    }
    if (t->fd >= 0) {
        shutdown(t->fd, SHUT_RDWR); /* tells the client though a forked child may hold it open */
        close(t->fd);
    }
    t->fd = -1;
}

void transport_finish(struct http_transport *t)
{
    if (t->tls && !t->handshaking)
        gnutls_bye(t->tls, GNUTLS_SHUT_WR);
    shutdown(t->fd, SHUT_WR);
}

int transport_discard(struct http_transport *t, void *scratch, size_t size)
{
    ssize_t rc = recv(t->fd, scratch, size, MSG_DONTWAIT);
    if (rc > 0 || (rc < 0 && (errno == EINTR || errno == EAGAIN)))
        return -EAGAIN;
    return rc < 0 ? -errno : 0;
}

int transport_handshake(struct http_transport *t, bool *ret_wants_write)
{
    int rc;
    do
        rc = gnutls_handshake(t->tls);
    while (rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED);
    *ret_wants_write = gnutls_record_get_direction(t->tls) == 1;
    if (rc == GNUTLS_E_AGAIN)
        return -EAGAIN;
    if (rc < 0) {
        gnutls_alert_send_appropriate(t->tls, rc);
        return -EPROTO;
    }
    t->handshaking = false;
    return 0;
}

static ssize_t tls_result(ssize_t rc)
{
    if (rc >= 0)
        return rc;
    return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED ? -EAGAIN : -ECONNRESET;
}

ssize_t transport_recv(struct http_transport *t, void *to, size_t size)
{
    if (t->tls)
        return tls_result(gnutls_record_recv(t->tls, to, size));
    ssize_t rc;
    do
        rc = recv(t->fd, to, size, MSG_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc;
}

ssize_t transport_send(struct http_transport *t, const void *from, size_t size, bool more_follows)
{
    if (t->tls)
        return tls_result(gnutls_record_send(t->tls, from, size));
    ssize_t rc;
    do
        rc = send(t->fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0));
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc;
}

ssize_t transport_sendfile(struct http_transport *t, int file, uint64_t *offset, uint64_t left)
{
    ssize_t rc;
    if (t->tls) {
        /* the same bytes again after -EAGAIN, as the library asks */
        char piece[16 * 1024];
        ssize_t size = pread(file, piece, (size_t)MIN(left, sizeof piece), (off_t)*offset);
        if (size <= 0)
            return size < 0 ? -errno : -EIO; /* the file became shorter */
        rc = transport_send(t, piece, (size_t)size, false);
    } else {
        off_t at = (off_t)*offset;
        rc = sendfile(t->fd, file, &at, (size_t)MIN(left, (uint64_t)1 << 20));
        if (rc <= 0)
            return rc < 0 ? -errno : -EIO;
    }
    if (rc > 0)
        *offset += (uint64_t)rc;
    return rc;
}

bool transport_has_pending(const struct http_transport *t)
{
    return t->tls && !t->handshaking && gnutls_record_check_pending(t->tls) > 0;
}
