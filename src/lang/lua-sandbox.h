#pragma once
/*
 * The Lua state of an evaluation: which names a program sees, and its limits.
 *
 * Every file runs in an environment of its own above the shared built-in names: a global variable
 * is seen in its file only, and built-in names cannot be assigned. An unknown name is an error, not
 * nil. Instructions are counted by a hook, memory by the allocator; C functions that can run long
 * count what they do as instructions (eval_charge()).
 */
#include "lang/eval.h"

void sandbox_open(Eval *eval);
void sandbox_close(Eval *eval); /* accepts a half-built eval */

/* Runs the entry file; problems are added. False: it ended early. */
bool sandbox_run(Eval *eval);
/* Compiles text and pushes the function. A syntax error becomes a problem and is raised. */
void sandbox_load(lua_State *lua, const char *path, const char *text, size_t size);
/* Gives the function on top of the stack an environment of its own. */
void sandbox_set_environment(lua_State *lua);
/* Calls the function below n_args arguments. False: the error is in eval->raised, nothing is
 * pushed; the caller raises again when eval->fatal. */
bool sandbox_call(Eval *eval, lua_State *lua, int n_args, int n_results);
/* Pushes the table of built-in names. */
void sandbox_push_names(lua_State *lua);
/* The error for an unknown name, with a hint for what Lua has elsewhere and a suggestion from the
 * keys of the tables at two stack indices (0: none). Raises. */
int sandbox_raise_unknown(lua_State *lua, const char *what, const char *name, int table, int extra);
/* Makes reading an absent field of the library table on top of the stack an error. */
void sandbox_make_strict(lua_State *lua, const char *name);
/* Raise an error that no pcall() stops. */
int sandbox_raise_limit(lua_State *lua, const char *format, ...) G_GNUC_PRINTF(2, 3);
int sandbox_raise_steps(lua_State *lua);
int sandbox_raise_memory(lua_State *lua);
