#pragma once
/* Keys of the kernel and lines of sysctl.d(5), for the kind sysctl. */
#include <glib.h>

#include "kinds/edit.h"

/* As below /proc/sys, with slashes. Where the first separator is a dot, dots and slashes change
 * places: "net.ipv4.conf.eth0/1.forwarding" is "net/ipv4/conf/eth0.1/forwarding". Caller frees. */
char *sysctl_key(const char *name);
char *sysctl_name(const char *key); /* the reverse: with dots */

/* "key = value", also with '-' before the key. False: blank, a comment, or something else. Callers
 * free. key as sysctl_key() has it; it may be a pattern. value NULL: "-key" without one, which
 * exempts it from patterns. */
bool sysctl_line_parse(const EditLine *text, char **ret_key, char **ret_value);
/* The last line of a key at or before line `end`, which counts; n_lines: none. */
size_t sysctl_line_find(const EditText *text, const char *key, char **ret_value);

/* Whether a is what the kernel shows for b: spaces do not count, nor how a number is written. */
bool sysctl_same(const char *a, const char *b);
char *sysctl_plain(const char *value); /* with one space between words; caller frees */

/* Where the value for a key comes from at boot, when it is not `file`: "FILE:LINE" and the value.
 * False: file has the last word, or nothing says anything else. Callers free. */
bool sysctl_find_winner(Host *host, const char *file, const char *key, const char *wanted,
                        char **ret_place, char **ret_value);
