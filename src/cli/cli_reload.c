/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente reload`: checks the file here, tells the running gateway by SIGHUP, and waits for what it writes to DATA/reload.status.
 *
 * The gateway is found by DATA/entente.pid, which it keeps locked: an unlocked file is left over from one that is gone, and its number may
 * be somebody else's by now.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/cli.h"

#define WAIT_NS (15 * NS_PER_S)
#define STEP_NS (10 * NS_PER_MS)

static const char usage[] =
    "usage: entente reload --config FILE\n"
    "\n"
    "Checks FILE, then lets the running gateway load it and waits for the outcome. A bad file changes nothing: exit code 2 when the\n"
    "mistake is found here, 1 when the gateway finds it (its environment may lack a secret) or when none is running.\n";

static long running_gateway(const struct cli_syntax *syntax, const char *data_dir)
{
    char path[PATH_MAX], text[32] = "";
    snprintf(path, sizeof path, "%s/entente.pid", data_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ssize_t n = is_locked ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid <= 1)
        cli_error(syntax, "no gateway is running with the data directory %s; was `data:` changed since it started?", data_dir);
    return pid;
}

static struct stat status_of(const char *path)
{
    struct stat st = {.st_ino = 0};
    (void)!stat(path, &st);
    return st;
}

static bool is_newer(const struct stat *now, const struct stat *before)
{
    return now->st_ino != before->st_ino || now->st_mtim.tv_sec != before->st_mtim.tv_sec || now->st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

static bool wait_for_status(const char *path, const struct stat *before)
{
    for (uint64_t waited = 0; waited < WAIT_NS; waited += STEP_NS) {
        struct stat now = status_of(path);
        if (is_newer(&now, before))
            return true;
        nanosleep(&(struct timespec){0, (long)STEP_NS}, NULL);
    }
    return false;
}

/* First line "ok GENERATION" or "error GENERATION", then a line for each mistake. */
static int tell_outcome(const struct cli_syntax *syntax, const char *path)
{
    char line[2048];
    FILE *f = fopen(path, "re");
    bool ok = false;
    if (f && fgets(line, sizeof line, f)) {
        ok = span_starts(span_str(line), SPAN("ok "));
        if (ok)
            printf("reloaded, generation %s", line + 3);
        else
            cli_error(syntax, "the gateway refused the file and goes on as before:");
        while (!ok && fgets(line, sizeof line, f))
            fputs(line, stderr);
    }
    if (f)
        fclose(f);
    return ok ? CLI_DONE : CLI_FAILED;
}

static int reload(const struct cli_syntax *syntax, const char *data_dir)
{
    char path[PATH_MAX];
    long pid = running_gateway(syntax, data_dir);
    if (pid <= 1)
        return CLI_FAILED;
    snprintf(path, sizeof path, "%s/reload.status", data_dir);
    struct stat before = status_of(path);
    if (kill((pid_t)pid, SIGHUP) != 0) {
        cli_error(syntax, "the gateway (pid %ld) cannot be told: %s", pid, strerror(errno));
        return CLI_FAILED;
    }
    if (!wait_for_status(path, &before)) {
        cli_error(syntax, "the gateway (pid %ld) did not answer within %u s; its log says more", pid, (unsigned)(WAIT_NS / NS_PER_S));
        return CLI_FAILED;
    }
    return tell_outcome(syntax, path);
}

int cli_reload(int argc, char **argv)
{
    int code;
    const char *path = NULL;
    const struct cli_option options[] = {{.name = "--config", .value = &path}};
    const struct cli_syntax syntax = {"entente reload", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!path) {
        cli_error(&syntax, "--config is missing");
        return CLI_USAGE;
    }
    struct config *c = cli_load_config(path);
    code = c ? reload(&syntax, c->data_dir) : CLI_USAGE;
    config_free(c);
    return code;
}
