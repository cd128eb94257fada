#pragma once
/*
 * remote: one command on many machines over the system's ssh client, without an agent there. Uses
 * base, loop, host and bundle.
 *
 *   program   what is copied: this program, the libraries it is loaded with, and their loader
 *   script    what the shell of the target does; the conversation is told there
 *   target    one machine: its ssh, what is said to it and heard from it
 *   targets   many of them, some at once
 *
 * The program as it is copied: files of this process, so that it runs on a target with another C
 * library, or without the libraries.
 */
#include <glib.h>
#include <stdbool.h>

#include "base/digest.h"

#define REMOTE_PROGRAM "stead" /* names in the archive */
#define REMOTE_LOADER  "ld.so"

typedef struct {
    char digest[DIGEST_HEX_SIZE]; /* of names and contents */
    GPtrArray *names, *contents;  /* char *, GBytes */
    GBytes *packed;               /* NULL until it is needed */
    const char *machine;          /* as uname -m says it there */
} RemoteProgram;

RemoteProgram *remote_program_new(GError **error);
void remote_program_free(RemoteProgram *program); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteProgram, remote_program_free)
/* tar and gzip, which every target has; made once. Borrowed. */
GBytes *remote_program_packed(RemoteProgram *program, GError **error);
