/* SPDX-License-Identifier: Apache-2.0 */
/* test_scenarios [--trace] FILE…: plays each in a process of its own and speaks TAP. A file that
 * says `pending: reason` is played too: while it fails it counts as skipped, and once it passes the
 * mark is one failure, so that no mark outlives its reason. */
#include "scenario.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *trace;

static int run(const char *path, bool quiet)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (quiet && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
            _Exit(2);
        alarm(120);
        struct scenario s;
        scenario_load(&s, path);
        s.trace = trace;
        scenario_run(&s);
        scenario_fini(&s);
        exit(0);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool one(int at, const char *path)
{
    struct scenario s;
    scenario_load(&s, path);
    bool pending = s.pending[0] != 0;
    int status = run(path, pending);
    bool good = pending ? status != 0 : status == 0;
    printf("%sok %d - %s: %s", good ? "" : "not ", at, base_name(path), s.title);
    if (pending && good)
        printf(" # SKIP pending: %s", s.pending);
    else if (pending)
        printf("\n# it passes: take the mark away (pending: %s)", s.pending);
    else if (!good)
        printf("\n# ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    printf("\n");
    scenario_fini(&s);
    return good;
}

int main(int argc, char **argv)
{
    int first = 1, bad = 0;
    if (argc > 1 && strcmp(argv[1], "--trace") == 0) {
        trace = stdout;
        first = 2;
    }
    printf("1..%d\n", argc - first);
    for (int i = first; i < argc; i++)
        bad += !one(i - first + 1, argv[i]);
    return bad > 0;
}
