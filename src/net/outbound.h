/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Calls to addresses that other people chose: what such a URL may be, and which addresses it may lead
 * to. A name may resolve to anything, and to something else the next time, so it is the address of
 * each connection that is looked at (http_client_options.stranger). */

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/socket.h>

#define OUTBOUND_URL_MOST 2048

/* Whether it is an address of the public internet: not this machine's, not of a private or
 * carrier's network, not link-local, multicast or set aside for something else. IPv4 inside IPv6
 * (mapped, NAT64) counts as what it stands for. */
bool outbound_address_public(const struct sockaddr *address);

/* Cuts "https://host:port/path?query" into "https://host:port" and "/path?query", as curl writes them.
 * -EINVAL: it is not an https URL of at most OUTBOUND_URL_MOST bytes without user and fragment;
 * -EACCES: its host is an address that is not public, or localhost, and `allow_private` is not set. */
int outbound_url_split(struct str url, bool allow_private, struct buf *ret_server, struct buf *ret_path, struct error *err);
