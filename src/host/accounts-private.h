#pragma once
/* Shared by accounts.c (looking) and accounts-change.c (changing) only. */
#include "host/account-file.h"
#include "host/accounts.h"

/* What a host remembers of its account files, and the lock of those who change them. Made on first
 * use, freed with the host. */
struct HostAccounts {
    GMutex lock; /* of files */
    struct {
        AccountFile *file;
        FileInfo info;    /* what the file looked like just before it was read */
        int64_t seen_us;  /* when it last looked like that */
        int seen_changes; /* host->changes then */
    } files[N_ACCOUNT_FILES];

    GRecMutex change; /* held between accounts_lock() and accounts_unlock() */
    unsigned depth;   /* of nested locks, under change */
    int lock_fd;      /* of /etc/.pwd.lock; -1: this host has none */
};

struct HostAccounts *accounts_of(Host *host);

/* A new reference. A file that does not exist is empty. */
AccountFile *accounts_file(Host *host, AccountFileKind kind, GError **error);
/* The same, without a call of the host when the file was looked at moments ago and this host knows
 * of no change since. NULL when that is not so. For the owners of thousands of files. */
AccountFile *accounts_file_recent(Host *host, AccountFileKind kind);
/* Not shared with anybody, to be changed. */
AccountFile *accounts_file_read(Host *host, AccountFileKind kind, GError **error);
