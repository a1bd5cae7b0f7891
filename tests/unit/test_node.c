/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine is told to be: cgroups of all kinds, topologies of real machines, GPUs of a
 * library that only pretends, users that two installations share out. */
#include "base/memory.h"
#include "node/cgroup.h"
#include "node/file.h"
#include "node/machine.h"
#include "node/nvml.h"
#include "node/process.h"
#include "node/user_range.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/tessera-node-XXXXXX";

static const char *in(const char *path)
{
    static char text[4][512];
    static unsigned next;
    char *ret = text[next++ % 4];
    snprintf(ret, sizeof text[0], "%s/%s", top, path);
    return ret;
}

/* ---- cgroups ---- */

static void test_mounts(void **state)
{
    (void)state;
    struct cgroup found;
    /* systemd's v2 */
    cgroup_parse_mounts(STR("proc /proc proc rw 0 0\n"
                            "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n"),
                        &found);
    assert_int_equal(found.count, 1);
    assert_true(found.parts[0].unified);
    assert_string_equal(found.parts[0].path, "/sys/fs/cgroup");
    /* v1 alone, controllers mounted together */
    cgroup_parse_mounts(STR("cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
                            "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
                            "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n"
                            "cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0\n"
                            "cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0\n"
                            "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n"),
                        &found);
    assert_int_equal(found.count, 4);
    assert_int_equal(cgroup_abilities(&found),
                     CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS | CGROUP_FREEZE);
    /* mounted twice counts once; hybrid brings v2 too */
    cgroup_parse_mounts(STR("cgroup /a cgroup rw,memory 0 0\ncgroup /b cgroup rw,memory 0 0\n"
                            "cgroup2 /u cgroup2 rw 0 0\ncgroup2 /chroot/u cgroup2 rw 0 0\n"),
                        &found);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.parts[0].path, "/a");
    assert_string_equal(found.parts[1].path, "/u");
    cgroup_parse_mounts(STR("nonsense\n\ncgroup\ncgroup /x cgroup\n"), &found);
    assert_int_equal(found.count, 0);
}

static void test_part_text(void **state)
{
    (void)state;
    static const char *const good[] = {"2fk:/sys/fs/cgroup/unified/x", "c:/sys/fs/cgroup/cpu/a b",
                                       "2cmpfk:/y"};
    static const char *const bad[] = {"", ":", "c:", "c:relative", "x:/y", "2:/y", "c/y"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct cgroup_part part;
        struct buf text = BUF_INIT(1024);
        assert_true(cgroup_part_parse(str_from(good[i]), &part));
        cgroup_part_text(&part, &text);
        assert_string_equal(buf_text(&text), good[i]);
        buf_fini(&text);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(cgroup_part_parse(str_from(bad[i]), &(struct cgroup_part){0}));
}

/* A folder that stands in for a hierarchy of v1. Without rights to its root, the agent's own group
 * is taken. */
static void test_home(void **state)
{
    (void)state;
    struct cgroup mounts = {.count = 2}, home, group;
    struct error err;
    char text[256];
    struct stat st;
    mounts.parts[0].abilities = CGROUP_CPU;
    snprintf(mounts.parts[0].path, sizeof mounts.parts[0].path, "%s", in("cpu"));
    mounts.parts[1].abilities = CGROUP_MEMORY;
    snprintf(mounts.parts[1].path, sizeof mounts.parts[1].path, "%s", in("memory"));
    assert_int_equal(mkdir(in("cpu"), 0700), 0);
    assert_int_equal(mkdir(in("memory"), 0700), 0);
    assert_int_equal(mkdir(in("memory/own"), 0700), 0);
    /* what stands in the way of the name at the root, and is no cgroup, is not taken over */
    assert_int_equal(mkdir(in("memory/tessera-1"), 0700), 0);
    snprintf(text, sizeof text, "3:memory:/own\n2:cpu,cpuacct:/\n0::/\n");
    cgroup_home(&mounts, str_from(text), "tessera-1", &home);
    assert_int_equal(home.count, 2);
    assert_string_equal(home.parts[0].path, in("cpu/tessera-1"));
    assert_string_equal(home.parts[1].path, in("memory/own/tessera-1"));
    assert_int_equal(cgroup_make(&home, "replica", &group, &err), 0);
    assert_int_equal(stat(in("cpu/tessera-1/replica"), &st), 0);
    assert_int_equal(cgroup_remove(&group), 0);
    assert_int_equal(cgroup_remove(&group), 0);
    assert_int_equal(stat(in("cpu/tessera-1/replica"), &st), -1);
}

/* The real thing, where there is one: frozen processes stand still, and killing reaches them
 * frozen. */
static void test_freeze_and_kill(void **state)
{
    (void)state;
    struct buf mounts = BUF_INIT((size_t)1 << 20), own = BUF_INIT((size_t)1 << 16);
    struct cgroup found, home, group;
    struct error err;
    char name[64];
    assert_int_equal(file_read("/proc/self/mounts", &mounts, &err), 0);
    (void)file_read("/proc/self/cgroup", &own, &err);
    snprintf(name, sizeof name, "tessera-unit-%d", (int)getpid());
    cgroup_parse_mounts(buf_str(&mounts), &found);
    cgroup_home(&found, buf_str(&own), name, &home);
    buf_fini(&mounts);
    buf_fini(&own);
    if (!(cgroup_abilities(&home) & CGROUP_FREEZE)) {
        cgroup_remove(&home);
        skip();
    }
    assert_int_equal(cgroup_make(&home, "one", &group, &err), 0);
    volatile unsigned *count =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        if (cgroup_enter(&group))
            _exit(1);
        while (true)
            ++*count;
    }
    while (*count == 0)
        usleep(1000);
    assert_int_equal(cgroup_freeze(&group, true), 0);
    unsigned before = *count;
    usleep(20000);
    assert_int_equal(*count, before);
    assert_int_equal(cgroup_freeze(&group, false), 0);
    while (*count == before)
        usleep(1000);
    assert_int_equal(cgroup_freeze(&group, true), 0);
    before = *count;
    assert_int_equal(cgroup_kill(&group), 0);
    assert_int_equal(*count, before);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (cgroup_remove(&group) == -EBUSY)
        usleep(1000);
    assert_int_equal(cgroup_remove(&home), 0);
}

/* ---- machines ---- */

static const char *topology(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s.xml", getenv("TEST_TOPOLOGIES"), name);
    return path;
}

static void test_g4dn(void **state)
{
    (void)state;
    struct machine *m = xcalloc(1, sizeof *m);
    struct error err;
    assert_int_equal(machine_discover(m, topology("g4dnmetal"), &err), 0);
    assert_int_equal(m->gpu_count, 8);
    assert_int_equal(m->numa_nodes, 2);
    assert_int_equal(m->cores, 48);
    assert_int_equal(m->threads, 96);
    assert_int_equal(m->memory_mib, 386583);
    assert_string_equal(m->gpus[0].model, "T4");
    assert_string_equal(m->gpus[0].address, "0000:18:00.0");
    assert_int_equal(m->gpus[0].numa, 0);
    assert_int_equal(m->gpus[7].numa, 1);
    assert_int_equal(m->gpus[7].memory_mib, 15109);
    assert_string_equal(m->gpus[7].uuid, "GPU-688323de-3533-d2ca-844c-af1c0f723c87");
    xfree(m);
}

/* Machines of one make differ by some MiB from one firmware to the next. */
static void test_offer(void **state)
{
    (void)state;
    assert_int_equal(machine_offer_mib(2063950), machine_offer_mib(2063807));
    assert_int_equal(machine_offer_mib(0), 0);
    assert_int_equal(machine_offer_mib(63), 62);
    for (int64_t size = 1; size < 1 << 22; size += 1 + size / 7) {
        int64_t offer = machine_offer_mib(size);
        assert_true(offer > 0 && offer <= size && offer >= size - size / 16 - 1);
    }
}

/* A format newer than the library: said so, by the file's name. */
static void test_newer_format(void **state)
{
    (void)state;
    struct machine *m = xcalloc(1, sizeof *m);
    struct error err;
    if (machine_discover(m, topology("nvidiaDGX2"), &err) == 0)
        assert_int_equal(m->gpu_count, 16);
    else
        assert_non_null(strstr(err.text, "nvidiaDGX2.xml"));
    xfree(m);
}

static void test_power8(void **state)
{
    (void)state;
    struct machine *m = xcalloc(1, sizeof *m);
    struct error err;
    assert_int_equal(machine_discover(m, topology("power8gpudistances"), &err), 0);
    assert_int_equal(m->gpu_count, 4);
    assert_string_equal(m->gpus[0].model, "P100");
    assert_true(m->threads >= m->cores && m->memory_mib > 0);
    xfree(m);
}

static void test_no_topology(void **state)
{
    (void)state;
    struct machine *m = xcalloc(1, sizeof *m);
    struct error err;
    assert_true(machine_discover(m, in("absent.xml"), &err) < 0);
    assert_int_equal(machine_discover(m, NULL, &err), 0);
    assert_true(m->threads >= 1 && m->memory_mib > 0 && m->numa_nodes >= 1);
    xfree(m);
}

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *name, *model;
        int64_t mib;
    } cases[] = {
        {"NVIDIA H100 80GB HBM3", "H100", 81559},
        {"NVIDIA A100-SXM4-80GB", "A100-80GB", 81920},
        {"NVIDIA A100-SXM4-40GB", "A100", 40960},
        {"Tesla V100-SXM2-16GB", "V100", 16384},
        {"Tesla V100-SXM3-32GB-H", "V100-32GB", 0},
        {"Tesla T4", "T4", 15360},
        {"NVIDIA GeForce RTX 4090", "4090", 24564},
        {"NVIDIA L40S", "L40S", 46068},
        {"AMD INSTINCT MI200 (MCM) OAM", "MI200", 65536},
        {"", "", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char model[MACHINE_TEXT_MAX];
        machine_gpu_model(cases[i].name, cases[i].mib, model);
        assert_string_equal(model, cases[i].model);
    }
}

static void test_nvml(void **state)
{
    (void)state;
    const char *library = getenv("TEST_FAKE_NVML");
    struct machine *m = xcalloc(1, sizeof *m);
    struct error err;
    setenv("FAKE_NVML_GPUS", "8", 1);
    assert_int_equal(nvml_discover(library, m, &err), 0);
    assert_int_equal(m->gpu_count, 8);
    assert_string_equal(m->gpus[7].model, "H100");
    assert_string_equal(m->gpus[7].address, "0000:20:00.0");
    assert_int_equal(m->gpus[7].memory_mib, 81559);
    assert_string_equal(m->gpus[7].device, "/dev/nvidia0");
    assert_string_equal(m->gpus[1].uuid, "GPU-00000001-0000-0000-0000-000000000000");
    /* no driver, no device, a device that is lost, no library */
    *m = (struct machine){0};
    setenv("FAKE_NVML_ERROR", "9", 1);
    assert_int_equal(nvml_discover(library, m, &err), -ENODEV);
    assert_non_null(strstr(err.text, "Driver Not Loaded"));
    unsetenv("FAKE_NVML_ERROR");
    setenv("FAKE_NVML_LOST", "3", 1);
    assert_int_equal(nvml_discover(library, m, &err), -EIO);
    unsetenv("FAKE_NVML_LOST");
    setenv("FAKE_NVML_GPUS", "0", 1);
    *m = (struct machine){0};
    assert_int_equal(nvml_discover(library, m, &err), -ENODEV);
    assert_int_equal(nvml_discover("libnothing.so.1", m, &err), -ENOENT);
    assert_int_equal(m->gpu_count, 0);
    xfree(m);
}

/* ---- users ---- */

static void test_user_ranges(void **state)
{
    (void)state;
    struct user_range a, b, again;
    struct error err;
    const char *claims = in("claims");
    char file[512];
    snprintf(file, sizeof file, "%s", claims);
    assert_int_equal(mkdir(in("a"), 0700), 0);
    assert_int_equal(mkdir(in("b"), 0700), 0);
    char folder_a[512], folder_b[512];
    snprintf(folder_a, sizeof folder_a, "%s", in("a"));
    snprintf(folder_b, sizeof folder_b, "%s", in("b"));
    /* the same id twice, as in a copied folder: still two ranges */
    assert_int_equal(user_range_claim(file, "1a2b", folder_a, &a, &err), 0);
    assert_int_equal(user_range_claim(file, "1a2b", folder_b, &b, &err), 0);
    assert_int_equal(a.count, USER_RANGE_SIZE);
    assert_int_not_equal(a.first, b.first);
    assert_true(a.first >= USER_RANGE_FIRST &&
                a.first % USER_RANGE_SIZE == USER_RANGE_FIRST % USER_RANGE_SIZE);
    assert_int_equal(user_range_claim(file, "1a2b", folder_a, &again, &err), 0);
    assert_int_equal(again.first, a.first);
    /* once a folder is gone its range is free for the next that wants it */
    assert_int_equal(rmdir(folder_a), 0);
    assert_int_equal(user_range_claim(file, "1a2b", in("c"), &again, &err), 0);
    assert_int_equal(again.first, a.first);
    /* lines that are none are dropped */
    assert_int_equal(file_replace(file, STR("1900000001 x /\nnonsense\n1 2\n"), 0600, false, &err),
                     0);
    assert_int_equal(user_range_claim(file, "ffff", folder_b, &b, &err), 0);
    assert_true(user_range_claim(in("none/claims"), "ffff", folder_b, &b, &err) < 0);
}

/* ---- files and processes ---- */

static void test_files(void **state)
{
    (void)state;
    struct error err;
    struct buf text = BUF_INIT(8);
    struct stat st;
    assert_int_equal(file_replace(in("file"), STR("one"), 0640, true, &err), 0);
    assert_int_equal(file_replace(in("file"), STR("two"), 0600, false, &err), 0);
    assert_int_equal(file_read(in("file"), &text, &err), 0);
    assert_string_equal(buf_text(&text), "two");
    assert_int_equal(stat(in("file"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_replace(in("file"), STR("too long for it"), 0600, false, &err), 0);
    assert_int_equal(file_read(in("file"), &text, &err), -EFBIG);
    assert_int_equal(file_read(in("nothing"), &text, &err), -ENOENT);
    buf_fini(&text);
    /* a tree goes, and what its links point at stays */
    assert_int_equal(folder_make(in("tree/deep/er"), 0700, &err), 0);
    assert_int_equal(symlink(in("file"), in("tree/link")), 0);
    assert_int_equal(symlink(top, in("tree/deep/up")), 0);
    assert_int_equal(folder_remove(in("tree"), &err), 0);
    assert_int_equal(lstat(in("tree"), &st), -1);
    assert_int_equal(stat(in("file"), &st), 0);
    assert_int_equal(folder_remove(in("tree"), &err), 0);
}

static void test_descendants(void **state)
{
    (void)state;
    int ends[2];
    pid_t pids[16], grandchild;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t own = fork();
        if (own == 0)
            while (true)
                pause();
        ssize_t ignored = write(ends[1], &own, sizeof own);
        (void)ignored;
        while (true)
            pause();
    }
    assert_int_equal(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    assert_int_equal(process_descendants(child, pids, 16), 1);
    assert_int_equal(pids[0], grandchild);
    assert_int_equal(process_descendants(getpid(), pids, 16), 2);
    process_signal_descendants(getpid(), SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
}

static int make_top(void **state)
{
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
    (void)state;
    return folder_remove(top, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mounts),      cmocka_unit_test(test_part_text),
        cmocka_unit_test(test_home),        cmocka_unit_test(test_freeze_and_kill),
        cmocka_unit_test(test_g4dn),        cmocka_unit_test(test_newer_format),
        cmocka_unit_test(test_power8),      cmocka_unit_test(test_no_topology),
        cmocka_unit_test(test_offer),        cmocka_unit_test(test_models),      cmocka_unit_test(test_nvml),
        cmocka_unit_test(test_user_ranges), cmocka_unit_test(test_files),
        cmocka_unit_test(test_descendants),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
