#pragma once
/*
 * Talk: a program that speaks for a kind, and the conversation with it. The process is started when
 * something is asked, lives on, and is started anew when it has died. One thread a program writes
 * its input and reads its output; whoever asks waits, in any thread. Requests may be sent before
 * earlier ones are answered.
 */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"
#include "loop/cancel.h"

typedef struct Talk Talk;
typedef struct TalkWatch TalkWatch;

/* root: of the host that is managed, "/" or a directory. */
Talk *talk_new(const char *path, const char *root);
/* Its input ends; a program that runs on after 2 s is killed. Nobody may be asking. What is asked
 * later starts it again. */
void talk_stop(Talk *talk);
void talk_free(Talk *talk); /* accepts NULL; stops it, and all watches must be gone */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Talk, talk_free)

/* What it says about itself; the same for as long as the talk. NULL with error. */
Value *talk_describe(Talk *talk, GError **error);
/* How many requests of this sort it may have at once; 1 until said. */
void talk_set_parallel(Talk *talk, unsigned parallel);

typedef enum {
    TALK_ASKS,    /* no effects: asked again when the program dies before its turn came */
    TALK_CHANGES, /* may be half done when the program dies: fails then */
} TalkSort;

/* Sends a request and waits for its answer, which is no error. members: a map; taken. note: the
 * last that the program said about it with "log"; caller frees, may be NULL. When cancel ends the
 * wait the program is ended: SIGTERM to its process group, SIGKILL after 3 s. */
Value *talk_ask(Talk *talk, const char *request, Value *members, TalkSort sort, Cancel *cancel,
                char **ret_note, GError **error);

/* Ends the process when it has answered what it was asked, so that the next request starts a new
 * one: its file has changed. */
void talk_renew(Talk *talk);

/* Ends the process, and the thread with it, once it has nothing to do and nobody watches. What is
 * asked later starts it again. */
void talk_retire(Talk *talk);
/* Ends it at once: it has done nothing but describe itself. */
void talk_kill(Talk *talk);

/* Called by the program's thread, with the talk locked: only to pass it on. failure: the watch is
 * dead; else something may have changed. first: the watch is armed from now on. */
typedef void (*TalkWatchCallback)(void *data, bool first, const char *failure);

/* Sends "watch"; armed again, with a call that something may have changed, when the program dies.
 * members: taken. */
TalkWatch *talk_watch(Talk *talk, Value *members, TalkWatchCallback callback, void *data);
void talk_watch_free(TalkWatch *watch); /* accepts NULL; no call afterwards */
