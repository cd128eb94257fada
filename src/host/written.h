#pragma once
/*
 * What this thread wrote last, while it writes for somebody (host_writer_begin()): a file that
 * still is the very inode written, with its size and the time of its last change, need not be read
 * back. A later change of the content would have moved that time on, and between the write and this
 * look lie microseconds. Ends with host_writer_end().
 */
#include <sys/stat.h>

#include "host/host.h"

/* st: of the descriptor, after the last write to it. Takes a reference to content. */
void written_note(const Host *host, const char *path, const struct stat *st, GBytes *content);
/* False: it is another file, or has been changed since, or nothing was noted. */
bool written_digest(const Host *host, const char *path, const FileInfo *info,
                    char ret_hex[DIGEST_HEX_SIZE]);
void written_forget(void);
