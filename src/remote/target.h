#pragma once
/* One machine: the ssh client that leads there, what is said to it and heard from it. */
#include "loop/loop.h"
#include "remote/program.h"

#define REMOTE_LINE_MAX (256u * 1024 * 1024) /* bytes; a whole plan is one line of JSON */

typedef struct {
    const char *name; /* of the file on the target */
    GBytes *bytes;
} RemoteFile;

/* The same for all targets; borrowed while any of them lives. */
typedef struct {
    const char *ssh; /* path of the client */
    RemoteProgram *program;
    const RemoteFile *files; /* besides the configuration */
    unsigned n_files;
    /* Adds RemoteFile that only host gets, whose bytes the list owns. NULL: there are none. */
    void (*own_files)(void *data, const char *host, GArray *files);
    void *data;
    /* ADDRESS:PORT of here that a socket of the target leads to; a file "socket" of the run says
     * where that is. NULL: there is none. */
    const char *back;
    const char *directory; /* what the configuration's directory is called there */
    const char *words;     /* of stead's command line, for a shell; see script.h */
    bool keep, unprivileged;
} RemoteJob;

/* The configuration as it is now. */
typedef struct {
    GBytes *packed;
    char digest[DIGEST_HEX_SIZE];
} RemoteSource;

typedef struct Target Target;

typedef struct {
    void (*line)(void *data, const Target *target, bool is_error, const char *line);
    void (*copies)(void *data, const Target *target, size_t bytes); /* of the program */
    void (*ended)(void *data, Target *target);                      /* the target may be freed */
    void *data;
} TargetListener;

/* host as ssh takes it. */
Target *target_start(Loop *loop, const char *host, const RemoteJob *job, const RemoteSource *source,
                     const TargetListener *listener, GError **error);
/* Accepts NULL. Kills ssh when it still runs; what it started over there ends by itself. */
void target_free(Target *target);
const char *target_host(const Target *target);

void target_update(Target *target, const RemoteSource *source); /* a new configuration, watched */
void target_stop(Target *target);                               /* as an interrupt does there */
void target_kill(Target *target);                               /* ssh itself */

/* Once it ended: what stead said there, or an error that tells why it said nothing. */
int target_exit_code(const Target *target);
const GError *target_error(const Target *target); /* NULL: exit code counts */
bool target_has_run(const Target *target);        /* something may have been done there */
