#pragma once
/* What a watch's owner itself did to a path, to tell the events of that from everybody else's. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* A change in the same tick of the file system's clock cannot be told by times. */
#define OWN_STAMP_RACY_NS 20000000

typedef struct {
    unsigned in_progress; /* writes that began and have not ended */
    uint32_t expected;    /* inotify events that the ended ones cause */
    uint32_t deferred;    /* events that came in between, to be judged after the end */
    uint64_t turn;        /* when the last one ended; see own_stamp_begin() */
    bool known;           /* false: nothing is known, every event counts */
    bool exists;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    dev_t device;
    ino_t inode;
    off_t size;
    int64_t mtime_ns, ctime_ns;
} OwnStamp;

/* Not an event: the directory was not watched for a while. */
#define OWN_STAMP_REARMED (1u << 31)

typedef enum { JUDGE_DROP, JUDGE_DEFER, JUDGE_DELIVER } Judgement;

/* turn: how often the event queue has been emptied. Events of a write are queued when it ends, so
 * once the queue was emptied after that none of them is to come. */
void own_stamp_begin(OwnStamp *stamp, uint64_t turn);
/* after: NULL when absent. */
void own_stamp_end(OwnStamp *stamp, uint32_t events, const struct stat *after, uint64_t turn);
void own_stamp_abandon(OwnStamp *stamp, uint64_t turn);
bool own_stamp_is_old(const OwnStamp *stamp, uint64_t turn);

/* False: whatever the path looks like, these events are somebody else's. */
bool own_stamp_may_explain(const OwnStamp *stamp, uint32_t events);
/* Whether events (inotify's, or OWN_STAMP_REARMED) are explained by the owner's own writes. now:
 * what the path looks like after the events, NULL when absent. now_ns: CLOCK_REALTIME. When in
 * doubt, they are not. */
Judgement own_stamp_judge(OwnStamp *stamp, uint32_t events, const struct stat *now, int64_t now_ns);
