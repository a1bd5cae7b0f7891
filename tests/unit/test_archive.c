/* SPDX-License-Identifier: Apache-2.0 */
/* Packing a folder, what is left out of it, and unpacking what others made. */
#include "base/buf.h"
#include "base/memory.h"
#include "wire/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/tessera-archive-XXXXXX";

static const char *in(const char *path)
{
    static char text[4][1024];
    static unsigned next;
    char *ret = text[next++ % 4];
    snprintf(ret, sizeof text[0], "%s/%s", top, path);
    return ret;
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(in(path), 0700), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(in(path), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(in(path), &st) == 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)type, (void)place;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    if (access(top, F_OK) == 0)
        nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    memcpy(top + strlen(top) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(top));
    make_folder("in");
    make_folder("out");
    return 0;
}

static int pack(const char *folder, const char *prefix, char hash[SHA256_HEX], struct error *err)
{
    struct archive_source source = {in(folder), prefix};
    return archive_pack(&source, 1, in("a.tar"), hash, err);
}

static void pack_and_extract(void)
{
    char hash[SHA256_HEX];
    struct error err = {};
    pack("in", "workdir", hash, &err);
    assert_string_equal(err.text, "");
    archive_extract(in("a.tar"), in("out"), &err);
    assert_string_equal(err.text, "");
}

static void test_round_trip(void **state)
{
    (void)state;
    struct stat st;
    char text[16] = "", hash[SHA256_HEX], again[SHA256_HEX];
    struct error err = {};
    make_folder("in/sub");
    make_folder("in/empty");
    write_file("in/sub/f\xc3\xbcnf", "five");
    write_file("in/runs.sh", "#!/bin/sh\n");
    assert_int_equal(chmod(in("in/runs.sh"), 0500), 0);
    assert_int_equal(symlink("../runs.sh", in("in/sub/link")), 0);
    pack_and_extract();
    FILE *file = fopen(in("out/workdir/sub/f\xc3\xbcnf"), "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text, file), 4);
    fclose(file);
    assert_string_equal(text, "five");
    assert_int_equal(stat(in("out/workdir/sub/link"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_int_equal(stat(in("out/workdir/empty"), &st), 0);
    /* Neither time nor the order of making says anything. */
    assert_int_equal(pack("in", "workdir", hash, &err), 0);
    assert_int_equal(rename(in("in/runs.sh"), in("in/moved")), 0);
    assert_int_equal(rename(in("in/moved"), in("in/runs.sh")), 0);
    assert_int_equal(chmod(in("in/runs.sh"), 0777), 0);
    assert_int_equal(pack("in", "workdir", again, &err), 0);
    assert_string_equal(hash, again);
    write_file("in/runs.sh", "#!/bin/bash\n");
    assert_int_equal(pack("in", "workdir", again, &err), 0);
    assert_string_not_equal(hash, again);
}

static void test_gitignore(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool kept;
    } files[] = {
        {"main.c", true}, {"main.o", false}, {"keep.o", true}, {"sub/x.o", false}, {"sub/build", true},
        {"sub/deep/only-here", true}, {"only-here", false}, {"sub/own", false}, {"own", true},
        {"build/x", false}, {"docs/a/b.pdf", false}, {"docs/b.txt", true}, {"any/where/cache/x", false},
        {"#hash", true}, {"from-above", false},
    };
    struct error err = {};
    write_file(".gitignore", "from-above\n");
    make_folder(".git");
    write_file("in/.gitignore", "# a comment\n\n*.o\n!keep.o\nbuild/\n/only-here\ndocs/**/*.pdf\n**/cache\n  \n");
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        char path[256];
        snprintf(path, sizeof path, "in/%s", files[i].path);
        for (char *slash = strchr(path + 3, '/'); slash; slash = strchr(slash + 1, '/')) {
            *slash = '\0';
            assert_true(mkdir(in(path), 0700) == 0 || errno == EEXIST);
            *slash = '/';
        }
        write_file(path, "x");
    }
    write_file("in/sub/.gitignore", "/own\n");
    pack_and_extract();
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        char path[256];
        snprintf(path, sizeof path, "out/workdir/%s", files[i].path);
        if (exists(path) != files[i].kept)
            fail_msg("%s", files[i].path);
    }
    /* A .skyignore says it all instead. */
    write_file("in/.skyignore", "main.c\n");
    struct archive_source source = {in("in"), "again"};
    char hash[SHA256_HEX];
    assert_int_equal(archive_pack(&source, 1, in("a.tar"), hash, &err), 0);
    assert_int_equal(archive_extract(in("a.tar"), in("out"), &err), 0);
    assert_false(exists("out/again/main.c"));
    assert_true(exists("out/again/main.o"));
}

static void test_sources(void **state)
{
    (void)state;
    char hash[SHA256_HEX];
    struct error err = {};
    write_file("in/a", "a");
    write_file("one", "one");
    struct archive_source sources[] = {{in("in"), "workdir"}, {in("one"), "mounts/0"}};
    assert_int_equal(archive_pack(sources, 2, in("a.tar"), hash, &err), 0);
    assert_int_equal(archive_extract(in("a.tar"), in("out"), &err), 0);
    assert_true(exists("out/workdir/a") && exists("out/mounts/0"));
    assert_int_equal(strlen(hash), 64);
    sources[0].path = in("absent");
    assert_int_equal(archive_pack(sources, 1, in("a.tar"), hash, &err), -ENOENT);
    assert_non_null(strstr(err.text, "absent: No such file"));
}

static void test_pack_refuses(void **state)
{
    (void)state;
    static const char *const targets[] = {"/etc/passwd", "../out", "sub/../../out", "a/.."};
    char hash[SHA256_HEX];
    struct error err = {};
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        assert_int_equal(symlink(targets[i], in("in/link")), 0);
        assert_int_equal(pack("in", "workdir", hash, &err), -EINVAL);
        assert_non_null(strstr(err.text, "/in/link: a link that leaves its folder"));
        assert_int_equal(unlink(in("in/link")), 0);
    }
    assert_int_equal(mkfifo(in("in/pipe"), 0600), 0);
    assert_int_equal(pack("in", "workdir", hash, &err), -EINVAL);
    assert_non_null(strstr(err.text, "/in/pipe: is neither file nor folder"));
    assert_int_equal(unlink(in("in/pipe")), 0);
    write_file("in/large", "");
    assert_int_equal(truncate(in("in/large"), ARCHIVE_BYTES_MAX), 0);
    assert_int_equal(pack("in", "workdir", hash, &err), -EFBIG);
    assert_non_null(strstr(err.text, "/in/large: with this file more than 256 MiB"));
}

/* ---- what others made ------------------------------------------------------------------------------- */

struct made {
    const char *path, *target; /* target: a link */
    unsigned type;
};

static void make_archive(const struct made *entries, size_t count, bool compressed)
{
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    if (compressed)
        archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, in("a.tar")), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, entries[i].path);
        archive_entry_set_filetype(entry, entries[i].type);
        archive_entry_set_perm(entry, 06755);
        archive_entry_set_size(entry, entries[i].type == AE_IFREG ? 1 : 0);
        if (entries[i].type == AE_IFLNK)
            archive_entry_set_symlink(entry, entries[i].target);
        else if (entries[i].target)
            archive_entry_set_hardlink(entry, entries[i].target);
        assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
        if (entries[i].type == AE_IFREG && !entries[i].target)
            assert_int_equal(archive_write_data(a, "x", 1), 1);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void test_extract_refuses(void **state)
{
    (void)state;
    static const struct {
        struct made entries[2];
        const char *error;
    } cases[] = {
        {{{"/abs", NULL, AE_IFREG}}, "is no path inside"},
        {{{"../up", NULL, AE_IFREG}}, "is no path inside"},
        {{{"a/../../up", NULL, AE_IFREG}}, "is no path inside"},
        {{{"a//b", NULL, AE_IFREG}}, "is no path inside"},
        {{{"./a", NULL, AE_IFREG}}, "is no path inside"},
        {{{"w/l", "/etc", AE_IFLNK}}, "is a link that leaves its folder"},
        {{{"w/l", "../x", AE_IFLNK}}, "is a link that leaves its folder"},
        {{{"w/a/l", "b/../../..", AE_IFLNK}}, "is a link that leaves its folder"},
        {{{"w/d", "e", AE_IFLNK}, {"w/d/f", NULL, AE_IFREG}}, "leads through what is no folder"},
        {{{"w/d", "e", AE_IFLNK}, {"w/d", NULL, AE_IFREG}}, "File exists"},
        {{{"w/f", NULL, AE_IFREG}, {"w/f", NULL, AE_IFREG}}, "File exists"},
        {{{"w/f", NULL, AE_IFREG}, {"w/h", "w/f", AE_IFREG}}, "is neither file, folder nor link"},
        {{{"w/p", NULL, AE_IFIFO}}, "is neither file, folder nor link"},
        {{{"w/c", NULL, AE_IFCHR}}, "is neither file, folder nor link"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error err = {};
        char out[32];
        snprintf(out, sizeof out, "out/%zu", i);
        make_folder(out);
        make_archive(cases[i].entries, cases[i].entries[1].path ? 2 : 1, false);
        assert_true(archive_extract(in("a.tar"), in(out), &err) < 0);
        if (strstr(err.text, cases[i].error) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
    assert_false(exists("up") || exists("out/up"));
}

static void test_extract_plain(void **state)
{
    (void)state;
    static const struct made entries[] = {{"w/f", NULL, AE_IFREG}, {"w/f2/", NULL, AE_IFDIR}};
    struct error err = {};
    struct stat st;
    make_archive(entries, 2, false);
    archive_extract(in("a.tar"), in("out"), &err);
    assert_string_equal(err.text, "");
    assert_int_equal(stat(in("out/w/f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    make_archive(entries, 1, true);
    assert_int_equal(archive_extract(in("a.tar"), in("out"), &err), -EINVAL);
    write_file("a.tar", "no archive at all");
    assert_int_equal(archive_extract(in("a.tar"), in("out"), &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gitignore, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pack_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_extract_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_extract_plain, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
