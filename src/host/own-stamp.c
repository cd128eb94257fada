#include "host/own-stamp.h"

#include <stddef.h>
#include <sys/inotify.h>

static int64_t nanoseconds(const struct timespec *time) {
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

bool own_stamp_is_old(const OwnStamp *stamp, uint64_t turn) {
    return stamp->in_progress == 0 && stamp->deferred == 0 && turn > stamp->turn;
}

void own_stamp_begin(OwnStamp *stamp, uint64_t turn) {
    if (own_stamp_is_old(stamp, turn))
        stamp->expected = 0;
    stamp->in_progress++;
}

/* A stamp may be younger than the write that ends: its watch was made in between. */
static void finish(OwnStamp *stamp, uint64_t turn) {
    if (stamp->in_progress > 0)
        stamp->in_progress--;
    stamp->turn = turn;
}

void own_stamp_end(OwnStamp *stamp, uint32_t events, const struct stat *after, uint64_t turn) {
    finish(stamp, turn);
    stamp->expected |= events;
    stamp->known = true;
    stamp->exists = after != NULL;
    if (after == NULL)
        return;
    stamp->mode = after->st_mode;
    stamp->uid = after->st_uid;
    stamp->gid = after->st_gid;
    stamp->device = after->st_dev;
    stamp->inode = after->st_ino;
    stamp->size = after->st_size;
    stamp->mtime_ns = nanoseconds(&after->st_mtim);
    stamp->ctime_ns = nanoseconds(&after->st_ctim);
}

void own_stamp_abandon(OwnStamp *stamp, uint64_t turn) {
    finish(stamp, turn);
    stamp->known = false;
}

static bool is_as_left(const OwnStamp *stamp, const struct stat *now) {
    if (now == NULL || !stamp->exists)
        return now == NULL && !stamp->exists;
    if (stamp->inode != now->st_ino || stamp->device != now->st_dev ||
        stamp->mode != now->st_mode || stamp->uid != now->st_uid || stamp->gid != now->st_gid)
        return false;
    /* Size and times of a directory change with every name in it. */
    return S_ISDIR(now->st_mode) ||
           (stamp->size == now->st_size && stamp->ctime_ns == nanoseconds(&now->st_ctim) &&
            stamp->mtime_ns == nanoseconds(&now->st_mtim));
}

bool own_stamp_may_explain(const OwnStamp *stamp, uint32_t events) {
    return stamp->in_progress > 0 ||
           (stamp->known && (events & IN_ALL_EVENTS & ~stamp->expected) == 0);
}

Judgement own_stamp_judge(OwnStamp *stamp, uint32_t events, const struct stat *now,
                          int64_t now_ns) {
    if (stamp->in_progress > 0) {
        stamp->deferred |= events;
        return JUDGE_DEFER;
    }
    if (!own_stamp_may_explain(stamp, events) || !is_as_left(stamp, now))
        return JUDGE_DELIVER;
    /* Without events to count, only a difference in time could show that others were there too. */
    bool racy =
        stamp->exists && !S_ISDIR(stamp->mode) && now_ns - stamp->ctime_ns < OWN_STAMP_RACY_NS;
    return (events & OWN_STAMP_REARMED) && racy ? JUDGE_DELIVER : JUDGE_DROP;
}
