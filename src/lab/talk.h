#pragma once
/*
 * How commands talk with a lab's keeper: messages, each a JSON object with at most one descriptor,
 * over a socket at DATA/labs/NAME/control that only root reaches.
 *
 *   {"do": "status"}                        -> {"done": true, "hosts": [...], "cuts": [...]}
 *   {"do": "enter", "host": H}              -> {"done": true} with a pidfd of its first process
 *   {"do": "start|reboot|kill", "host": H}  -> {"event": ...}... then {"done": true}
 *   {"do": "cut|heal", "a": A, "b": B}      -> {"done": true, "changed": bool}; heal may have no a
 *   {"do": "up"}, later {"do": "keep"}      -> as start, for all; without keep the lab ends with
 *                                              the connection
 *   {"do": "change", "lab": L}              -> {"done": true}: it has these hosts from now on; new
 *                                              ones are off, those that go must be
 * {"error": "text"} ends any of them.
 */
#include <glib.h>

#include "base/value.h"

/* Sockets: -1 with error. */
int lab_talk_listen(const char *directory, GError **error);
int lab_talk_accept(int listener);
int lab_talk_connect(const char *directory, GError **error);
bool lab_talk_pair(int ret_fds[2], GError **error);

/* attached: a descriptor that goes with it, borrowed; -1: none. Takes the message over. */
bool lab_talk_send(int fd, Value *message, int attached, GError **error);
/* NULL without error: the other side has hung up. *ret_attached is the caller's to close; -1: none
 * came. ret_attached may be NULL. */
Value *lab_talk_receive(int fd, int *ret_attached, GError **error);
/* Sends the request, which it takes over, and waits for what ends it: {"done"...}, or NULL. */
Value *lab_talk_ask(const char *directory, Value *request, int *ret_attached, GError **error);
Value *lab_talk_request(const char *verb, const char *host);
