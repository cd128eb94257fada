#pragma once
/*
 * entry: what the kinds share that keep one entry of a text file made of lines (cron, host,
 * ssh_authorized_key): observing, comparing and changing it by edit.h, and the attributes that the
 * file must have. The kind says how an entry is found and written.
 */
#include "kinds/edit.h"

typedef struct {
    const char *path;
    bool absent;               /* the entry is to be gone */
    bool trusted;              /* path comes from safe_path(): no link is followed */
    FileAttributes attributes; /* how the file must be; what is not set stays as it is */
    const void *data;          /* of the functions below */
    /* Whether it is there, and its properties; bytes are the whole file. */
    void (*find)(const void *data, GBytes *bytes, State *actual);
    /* A property as find would give it; NULL: not asked for. Caller unrefs. */
    Value *(*wanted)(const void *data, unsigned param);
    EditFunction edit;
} Entry;

bool entry_observe(KindRun *run, const Entry *entry, State *actual, GError **error);
bool entry_diff(KindRun *run, const Entry *entry, const State *actual, Changes *changes,
                GError **error);
bool entry_apply(KindRun *run, const Entry *entry, const Changes *changes, GError **error);

/* The undoing of a resource whose parameter `state` is "exists" or "absent": what it was before, or
 * gone. What was there before is put into the properties. */
Resource *entry_reverse(const Resource *resource, unsigned state_param, const State *before,
                        OnRemove how);
