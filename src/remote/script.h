#pragma once
/*
 * What the shell of a target does. It needs sh, coreutils, tar, gzip and flock: what every Debian
 * has. All that is said to it comes on its standard input, a word and its values a line:
 *
 *     program SIZE     SIZE bytes follow: tar and gzip of the program; only after "hello need"
 *     put NAME SIZE    SIZE bytes follow: a file of this run
 *     unpack DIGEST NAME   the bundle that was put as "bundle" becomes the directory NAME
 *     run              starts stead with the words that were put as "words"; $site is where the
 *                      bundles are, $run where other files are, also
 *                      "socket" with the path of the one that ssh made
 *     reload           stead reads its configuration again
 *     stop             stead ends what it does; again: cancels it; a third time: kills
 *
 * Its answers are lines on standard output that begin with a token nobody else knows:
 *
 *     TOKEN hello have|need   it has the lock; whether it has the program
 *     TOKEN busy WHO          somebody else has it
 *     TOKEN failed WHY        and it ends
 *     TOKEN started           from here on something may be touched
 *     TOKEN done CODE         stead ended
 *
 * When its input ends, by a cut connection too, it asks stead to end, waits, and removes all that
 * it brought.
 */
#include <glib.h>
#include <stdbool.h>

#define REMOTE_SITE "/run/stead-remote/site" /* $site, where root does it */

typedef struct {
    const char *token, *digest, *machine; /* of the program */
    const char *who;                      /* is told to others who find it busy */
    bool keep;                            /* the program stays */
    const char *socket;                   /* that ssh made, to be removed; or NULL: there is none */
    bool unprivileged;                    /* no root is needed: all is below --root */
} ScriptOptions;

/* The command line for the target's shell; caller frees. */
char *script_command(const ScriptOptions *options);
