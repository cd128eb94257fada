#pragma once
/*
 * The Lua state of an evaluation and its limits. Instructions are counted by a hook, memory by the
 * allocator; C functions that can run long count what they do as instructions (eval_charge()).
 */
#include "lang/eval.h"

void sandbox_open(Eval *eval);
void sandbox_close(Eval *eval); /* accepts a half-built eval */

/* Runs the entry file; problems are added. False: it ended early, or a name in it is not
 * there. */
bool sandbox_run(Eval *eval);
/* Compiles text and pushes the function. A syntax error becomes a problem and is raised. */
void sandbox_load(lua_State *lua, const char *path, const char *text, size_t size);
/* Calls the function below n_args arguments. False: the error is in eval->raised, nothing is
 * pushed; the caller raises again when eval->fatal. */
bool sandbox_call(Eval *eval, lua_State *lua, int n_args, int n_results);
/* Raise an error that no pcall() stops. */
int sandbox_raise_limit(lua_State *lua, const char *format, ...) G_GNUC_PRINTF(2, 3);
int sandbox_raise_steps(lua_State *lua);
int sandbox_raise_memory(lua_State *lua);
/* The same for what can never fit, before it is even asked for. */
void sandbox_check_room(lua_State *lua, uint64_t bytes);
