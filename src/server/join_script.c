/* SPDX-License-Identifier: Apache-2.0 */
#include "server/join_script.h"

#define HOME "/var/lib/tessera-agent"
#define LIBRARIES "libsqlite3-0 libsodium23 libhwloc15 libcurl3-gnutls libyaml-0-2 libarchive13"

static void fetch_write(const struct join_script *s, struct buf *out)
{
    buf_printf(out, "printf '%%s\\n' %s >token\n", s->token);
    /* The server may be away just then, also in the middle of it. */
    buf_append_text(out, "for try in $(seq 200); do\nprintf 'Authorization: Bearer %s\\n' \"$(cat token)\" | curl -fsS --connect-timeout 10 ");
    if (s->pin)
        buf_printf(out, "-k --pinnedpubkey '%s' ", s->pin);
    buf_printf(out, "-H @- -o tessera.new '%s/v1/binary' && break\nsleep 3\ndone\necho '%s  tessera.new' | sha256sum -c --quiet\n", s->url, s->sha256);
    buf_append_text(out, "chmod 755 tessera.new\nmv tessera.new tessera\n"
                         "./tessera version >/dev/null 2>&1 || { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install " LIBRARIES "; }\n"
                         "./tessera version >/dev/null\n");
}

static void start_write(const struct join_script *s, struct buf *out)
{
    buf_printf(out, "cat >start <<'END'\n#!/bin/sh\numask 022\ncd " HOME " && exec ./tessera agent --data data --join --token-file token --server '%s'", s->url);
    if (s->pin)
        buf_printf(out, " --pin '%s'", s->pin);
    else
        buf_append_text(out, " --insecure");
    buf_printf(out, " --name %s --sku %s --place %s/%s/%s/%s/%s --ask %lld.%06lld --cpus %lld --memory %lldMiB", s->name, s->sku, s->provider, s->region,
               s->region, s->name, s->name, (long long)s->ask / 1000000, (long long)s->ask % 1000000, (long long)s->cores, (long long)s->memory_mib);
    if (s->disk_mib)
        buf_printf(out, " --disk %lldMiB", (long long)s->disk_mib);
    buf_append_text(out, " >>log 2>&1\nEND\nchmod 700 start\n");
}

void join_script_write(const struct join_script *s, struct buf *out)
{
    buf_append_text(out, "#!/bin/bash\n# Joins this machine to a Tessera server as a node of it.\nset -eu\numask 077\nmkdir -p " HOME "\nchmod 711 " HOME "\ncd " HOME "\n");
    fetch_write(s, out);
    start_write(s, out);
    buf_append_text(out,
                    "if [ -d /run/systemd/system ]; then\n"
                    "printf '[Unit]\\nAfter=network-online.target\\n[Service]\\nExecStart=" HOME "/start\\nRestart=always\\nRestartSec=5\\nKillMode=process\\n"
                    "[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/tessera-agent.service\n"
                    "systemctl enable --now tessera-agent.service\n"
                    "else\n"
                    "printf '#!/bin/sh\\n" HOME "/start &\\n' >/etc/rc.local\nchmod 755 /etc/rc.local\n"
                    "exec ./start\n"
                    "fi\n");
}
