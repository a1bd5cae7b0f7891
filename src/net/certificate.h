/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The TLS identity of a server: a certificate (chain) and its key, made here or brought along.
 * Clients know it by the pin of its public key, in curl's form: "sha256//" and base64. */

#include "base/error.h"

#include <stddef.h>

struct certificate;

#define CERTIFICATE_PIN_MAX 64

/* Writes a self-signed EC P-256 certificate (PEM, 0644) and key (PEM, 0600), each aside, flushed
 * and renamed. `names` are host names or IP addresses for the SAN, the first one also the common
 * name; at least one. Valid for ten years: trust is the pin, not the date. */
int certificate_make(const char *certificate_path, const char *key_path, const char *const *names,
                     size_t name_count, struct error *err);

/* Loads PEM files; refuses a key that does not belong to the certificate. */
int certificate_load(struct certificate **ret, const char *certificate_path, const char *key_path,
                     struct error *err);
void certificate_free(struct certificate *c);

/* "sha256//…"; lives as long as the certificate. */
const char *certificate_pin(const struct certificate *c);
