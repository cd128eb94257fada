#pragma once
/* apt goes on when the stead that started it is killed. Whoever comes next must wait for it: what
 * it sees is about to change, and an apt that waits for its turn would undo what comes in between.
 */
#include "host/host-real-private.h"

#define PACKAGE_GUARD_PATH "/run/stead-packages"

/* Waits until no apt of an earlier stead is at work. Says so when it takes long; gives up after ten
 * minutes. */
bool package_guard_wait(RealHost *self, Cancel *cancel, GError **error);

/* The same, and returns a descriptor of an empty file: each command that has it as its standard
 * input is waited for by the next stead. -1 without an error: there can be no such file here. */
int package_guard_take(RealHost *self, Cancel *cancel, GError **error);
void package_guard_release(int fd); /* what still has it is not waited for; accepts -1 */
