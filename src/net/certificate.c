/* SPDX-License-Identifier: Apache-2.0 */
#include "net/certificate.h"

#include "net/http_internal.h"
#include "wire/base64.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <libgen.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEN_YEARS_S ((time_t)3650 * 24 * 3600)
#define HOUR_S 3600

struct certificate {
    gnutls_certificate_credentials_t credentials;
    char pin[CERTIFICATE_PIN_MAX];
};

void *certificate_credentials(const struct certificate *c)
{
    return c->credentials;
}

const char *certificate_pin(const struct certificate *c)
{
    return c->pin;
}

static int tls_error(struct error *err, int rc, const char *what)
{
    return error_set(err, rc == GNUTLS_E_FILE_ERROR ? -ENOENT : -EINVAL, "%s: %s", what,
                     gnutls_strerror(rc));
}

/* ---- making one ---- */

static int sync_folder_of(const char *path)
{
    _cleanup_free_ char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_all(int fd, struct str data)
{
    while (data.size > 0) {
        ssize_t size = write(fd, data.data, data.size);
        if (size < 0 && errno != EINTR)
            return -errno;
        size = MAX(size, 0);
        data = (struct str){data.data + size, data.size - (size_t)size};
    }
    return 0;
}

static int write_aside(const char *path, struct str data, mode_t mode, struct error *err)
{
    struct buf aside = BUF_INIT(4096);
    buf_printf(&aside, "%s.%ld.tmp", path, (long)getpid());
    unlink(buf_text(&aside));
    int fd = open(buf_text(&aside), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int rc = fd < 0 || fchmod(fd, mode) < 0 ? -errno : write_all(fd, data);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(buf_text(&aside), path) < 0)
        rc = -errno;
    if (rc == 0)
        rc = sync_folder_of(path);
    else if (fd >= 0)
        unlink(buf_text(&aside));
    buf_fini(&aside);
    return rc ? error_set(err, rc, "cannot write %s: %s", path, strerror(-rc)) : 0;
}

static int set_name(gnutls_x509_crt_t certificate, const char *name)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, name, address) == 1)
        return gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, address, 4,
                                                    GNUTLS_FSAN_APPEND);
    if (inet_pton(AF_INET6, name, address) == 1)
        return gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, address, 16,
                                                    GNUTLS_FSAN_APPEND);
    return gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, name,
                                                (unsigned)strlen(name), GNUTLS_FSAN_APPEND);
}

static int fill(gnutls_x509_crt_t certificate, const char *const *names, size_t name_count)
{
    unsigned char serial[16];
    int rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and never shorter */
    time_t now = time(NULL);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_version(certificate, 3);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_serial(certificate, serial, sizeof serial);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_activation_time(certificate, now - HOUR_S);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_expiration_time(certificate, now + TEN_YEARS_S);
    rc = rc < 0 ? rc
                : gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
                                                names[0], (unsigned)MIN(strlen(names[0]), 64));
    for (size_t i = 0; i < name_count && rc >= 0; i++)
        rc = set_name(certificate, names[i]);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_basic_constraints(certificate, 0, -1);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
    rc =
        rc < 0 ? rc : gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0);
    return rc;
}

static int write_pair(const char *certificate_path, const char *key_path,
                      const gnutls_datum_t pem[2], struct error *err)
{
    int rc = write_aside(key_path, (struct str){(const char *)pem[1].data, pem[1].size}, 0600, err);
    return rc ? rc
              : write_aside(certificate_path, (struct str){(const char *)pem[0].data, pem[0].size},
                            0644, err);
}

int certificate_make(const char *certificate_path, const char *key_path, const char *const *names,
                     size_t name_count, struct error *err)
{
    CHECK(name_count > 0);
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t certificate = NULL;
    gnutls_datum_t pem[2] = {{NULL, 0}, {NULL, 0}};
    int rc = gnutls_x509_privkey_init(&key);
    rc = rc < 0 ? rc : gnutls_x509_crt_init(&certificate);
    rc = rc < 0 ? rc
                : gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                               GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    rc = rc < 0 ? rc : fill(certificate, names, name_count);
    rc = rc < 0 ? rc : gnutls_x509_crt_set_key(certificate, key);
    rc = rc < 0 ? rc : gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0);
    rc = rc < 0 ? rc : gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem[0]);
    rc = rc < 0 ? rc
                : gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                                    GNUTLS_PKCS_PLAIN, &pem[1]);
    rc = rc < 0 ? tls_error(err, rc, "cannot make a certificate")
                : write_pair(certificate_path, key_path, pem, err);
    if (pem[1].data)
        gnutls_memset(pem[1].data, 0, pem[1].size);
    gnutls_free(pem[0].data);
    gnutls_free(pem[1].data);
    if (certificate)
        gnutls_x509_crt_deinit(certificate);
    if (key)
        gnutls_x509_privkey_deinit(key);
    return rc;
}

/* ---- loading one ---- */

/* SHA-256 of the first certificate's SubjectPublicKeyInfo in DER. */
static int take_pin(struct certificate *c)
{
    gnutls_x509_crt_t *chain = NULL;
    unsigned count = 0;
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t der = {NULL, 0};
    unsigned char digest[32];
    int rc = gnutls_certificate_get_x509_crt(c->credentials, 0, &chain, &count);
    rc = rc < 0 ? rc : gnutls_pubkey_init(&key);
    rc = rc < 0 ? rc : gnutls_pubkey_import_x509(key, chain[0], 0);
    rc = rc < 0 ? rc : gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der);
    rc = rc < 0 ? rc : gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest);
    if (rc >= 0) {
        struct buf text = BUF_INIT(CERTIFICATE_PIN_MAX - 1);
        buf_append_str(&text, STR("sha256//"));
        base64_encode((struct str){(const char *)digest, sizeof digest}, &text);
        memcpy(c->pin, text.data, text.size + 1);
        buf_fini(&text);
    }
    gnutls_free(der.data);
    if (key)
        gnutls_pubkey_deinit(key);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    return rc;
}

int certificate_load(struct certificate **ret, const char *certificate_path, const char *key_path,
                     struct error *err)
{
    const char *paths[] = {certificate_path, key_path};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        if (access(paths[i], R_OK) < 0)
            return error_set(err, -errno, "cannot read %s: %s", paths[i], strerror(errno));
    struct certificate *c = xcalloc(1, sizeof *c);
    int rc = gnutls_certificate_allocate_credentials(&c->credentials);
    rc = rc < 0 ? rc
                : gnutls_certificate_set_x509_key_file2(c->credentials, certificate_path, key_path,
                                                        GNUTLS_X509_FMT_PEM, NULL, 0);
    rc = rc < 0 ? rc : take_pin(c);
    if (rc < 0) {
        rc = rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH
                 ? error_set(err, -EINVAL, "%s is not the key of %s", key_path, certificate_path)
                 : tls_error(err, rc, certificate_path);
        certificate_free(c);
        return rc;
    }
    *ret = c;
    return 0;
}

void certificate_free(struct certificate *c)
{
    if (c == NULL)
        return;
    if (c->credentials)
        gnutls_certificate_free_credentials(c->credentials);
    xfree(c);
}
