#pragma once
/*
 * Programs: kinds that programs speak for, found in directories: kind NAME is the executable NAME
 * in one of them. A program runs on this machine, also when a tree below a root is managed, as who
 * runs stead. None runs before its kind is used. doc/kinds-in-any-language.md.
 */
#include "graph/kind.h"

typedef struct Programs Programs;

/* Where the machine's own are; NULL-terminated. */
extern const char *const programs_directories[];

/* root: of the host that is managed, "/" or a directory. */
Programs *programs_new(const char *root);
Programs *programs_ref(Programs *programs);
/* Accepts NULL. Kinds, and so all resources and states of them, must be gone with the last. */
void programs_unref(Programs *programs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Programs, programs_unref)

/* A directory that does not exist yet may come. Once is enough. */
void programs_add(Programs *programs, const char *directory);
/* To be called before each evaluation: from here on files may be others than before. A program that
 * then describes itself otherwise is a kind of its own for what is evaluated next; resources of
 * before keep the kind that they have, and the process that speaks for it.
 * Whether no program has the name of a built-in kind, of another program, or a word of which
 * is_word says so; the error names both. is_word may be NULL. */
bool programs_check(Programs *programs, bool (*is_word)(const char *name), GError **error);
/* No resources of before the last evaluation are left: ends the processes of kinds that were
 * described anew since. Waits for none of them, but for an evaluation that asks a program now. */
void programs_retire(Programs *programs);
/* Ends all that run, which may take 2 s; they start again when asked. */
void programs_stop(Programs *programs);

/* The built-in kinds and these; lives as long as programs. */
const KindSet *programs_kinds(const Programs *programs);
const char *programs_path(Programs *programs, const char *name); /* NULL: no such program */

/* Whether what is at path may run as us: it and its directory belong to us or root, and nobody else
 * may write them. */
bool programs_trust(const char *path, GError **error);
