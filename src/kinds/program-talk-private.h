#pragma once
/* The parts of a conversation: program-talk.c asks, program-thread.c keeps the process and writes
 * to it, program-hear.c takes what it says. All with the lock. */
#include "host/child.h"
#include "kinds/program-message.h"
#include "kinds/program-talk.h"

#define TALK_CHUNK 65536 /* bytes read at once */

/* A request; on the stack of who asks. */
typedef struct {
    uint64_t id;
    const char *request;
    const Value *members;
    TalkSort sort;
    int done_fd; /* readable when done */
    bool done;
    unsigned tries;
    Value *answer;
    GError *error;
    char *note;
} Call;

struct TalkWatch {
    Talk *talk;
    Value *members;
    TalkWatchCallback callback;
    void *data;
    uint64_t id; /* of the request; 0: not sent */
    bool was_armed;
};

struct Talk {
    char *path, *root;
    int wake_fd;
    GMutex lock; /* what follows; the child and the buffers are the thread's, after its start */
    GThread *thread;
    GQueue waiting; /* of Call, to be sent */
    GQueue sent;    /* of Call, in the order they were sent */
    GPtrArray *watches;
    unsigned parallel, n_changing;
    uint64_t last_id;
    Value *description;
    bool ending, renewing, retiring; /* wishes */
    bool over;                       /* the thread has ended, and is to be joined */
    bool stopping;                   /* told to end: nothing more is sent */
    char *reason;                    /* why it was told to end; NULL: it ends by itself */
    bool blameless;                  /* and that is no fault of the requests it has */
    bool leaving;                    /* its input was ended for good */
    int64_t kill_at;                 /* monotonic; 0: not */

    Child child; /* pid 0: none */
    int64_t started;
    bool described;
    uint64_t describe_id;
    GError *start_error;
    GByteArray *out; /* to be written, from out_at on */
    gsize out_at;
    GByteArray *in; /* read, without whole lines; no line end before scanned */
    gsize scanned;
    uint64_t n_lines;
    GString *words; /* the end of its standard error */
};

/* --- program-talk.c */

void talk_raise_fd(int event_fd);
void call_finish(Call *call, Value *answer, GError *error); /* takes both */
void talk_unsend(Talk *talk, GList *link);                  /* of sent */

/* --- program-hear.c */

bool talk_hear_output(Talk *talk); /* whether there may be more */
void talk_hear_words(Talk *talk);  /* on its standard error */

/* --- program-thread.c */

void *talk_converse(void *talk); /* the thread's function */
void talk_put_line(Talk *talk, uint64_t id, const char *request, const Value *members);
/* blameless: nothing of what it was asked and has not answered is the cause. */
void talk_end_process(Talk *talk, int signal_number, const char *reason, bool blameless);
