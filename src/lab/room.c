#include "lab/room.h"

#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plural.h"

#define LIMIT_FILE "/proc/sys/fs/inotify/max_user_instances"

/* Counted in running hosts, with one to spare: systemd has 5, its bus and logind one each. */
enum { OF_SYSTEM = 8, OF_AGENT = 2 };

static unsigned needed(const Lab *lab) {
    unsigned n = 0;
    for (unsigned i = 0; i < lab->hosts->len; i++)
        n += OF_SYSTEM + (lab_host(lab, i)->configuration ? OF_AGENT : 0);
    return n;
}

/* How many there are, at most so many: by taking them. */
static unsigned available(unsigned most) {
    g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(int));
    int fd;
    while (taken->len < most && (fd = inotify_init1(IN_CLOEXEC)) >= 0)
        g_array_append_val(taken, fd);
    for (unsigned i = 0; i < taken->len; i++)
        (void)close(g_array_index(taken, int, i)); /* it watched nothing */
    return taken->len;
}

/* Counting must not end at our own limit of descriptors. False: it is not possible. */
static bool allow_descriptors(unsigned n) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < n + 64)
        return false;
    limit.rlim_cur = MAX(limit.rlim_cur, n + 64);
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

bool room_check(const Lab *lab, GError **error) {
    unsigned wanted = needed(lab), have = wanted, better = 1024;
    struct rlimit before;
    bool known = getrlimit(RLIMIT_NOFILE, &before) == 0;
    if (known && allow_descriptors(wanted))
        have = available(wanted);
    if (known)
        (void)setrlimit(RLIMIT_NOFILE, &before); /* as it was */
    if (have >= wanted)
        return true;
    g_autofree char *text = NULL;
    unsigned limit = g_file_get_contents(LIMIT_FILE, &text, NULL, NULL) ? (unsigned)atoi(text) : 0;
    while (better < limit + wanted)
        better *= 2;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "%u %s %u inotify instances, and the kernel has %u left of %u for root: allow "
                "more by 'sysctl fs.inotify.max_user_instances=%u'",
                lab->hosts->len, plural(lab->hosts->len, "host needs", "hosts need"), wanted, have,
                limit, better);
    return false;
}
