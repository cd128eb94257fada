#pragma once
/*
 * Shared libraries that only some commands need. They are loaded when one is first used: starting
 * stead costs nothing for them, and what does not need them runs where they are not installed.
 *
 * A user keeps a struct of function pointers, a table of their names and one Library, all in one
 * file, and calls library_need() before the first use:
 *
 *     typedef struct { __typeof__(curl_easy_init) *easy_init; } Curl;
 *     static Curl curl;
 *     static const LibraryFunction functions[] = {
 *         { "curl_easy_init", offsetof(Curl, easy_init) },
 *         { NULL },
 *     };
 *     static Library library = { "libcurl.so.4", "libcurl4", functions, &curl };
 */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name; /* NULL ends the table */
    size_t offset;    /* of the pointer in the struct */
} LibraryFunction;

typedef struct {
    const char *file;    /* as the dynamic linker looks it up */
    const char *package; /* of Debian, for the message when it is missing */
    const LibraryFunction *functions;
    void *table; /* the struct; complete once library_need() returned true */
    gint loaded; /* atomic */
} Library;

/* Loads it unless that is done; thread-safe. It stays loaded as long as the process.
 * STEAD_ERROR_UNSUPPORTED names the package to install. */
bool library_need(Library *library, GError **error);
