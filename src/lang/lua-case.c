#include "lang/lua-case.h"

#include <lauxlib.h>

#include "lang/lua-sandbox.h"
#include "lang/lua-value.h"

/* Tells what went wrong since the last case, at most once each. */
static void report(Eval *eval, const char *name) {
    const LangCases *cases = eval->inputs->cases;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    problems_move(eval->problems, problems);
    cases->report(cases->data, name, problems);
}

static Value *run(Eval *eval, lua_State *lua, GError **error) {
    const LangCases *cases = eval->inputs->cases;
    g_autoptr(Value) inputs = lua_value_get(lua, 2, error);
    return inputs ? cases->run(cases->data, inputs, error) : NULL;
}

/* case(name, inputs, check): goes on after a failed one, so that all are shown. */
static int run_case(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the name", NULL);
    lua_value_check_table(lua, 2, "inputs");
    luaL_checktype(lua, 3, LUA_TFUNCTION);
    GError *error = NULL;
    Value *result = run(eval, lua, &error);
    if (!result) {
        eval_problem_here(eval, lua, error->message);
        g_error_free(error);
        report(eval, name);
        return 0;
    }
    lua_pushvalue(lua, 3);
    eval_push_value(lua, result);
    if (!sandbox_call(eval, lua, 1, 0)) {
        if (eval->fatal)
            return eval_raise(lua, "a limit was exceeded");
        eval_report_raised(eval);
    }
    report(eval, name);
    return 0;
}

void case_open(lua_State *lua) {
    lua_pushcfunction(lua, run_case);
    lua_setfield(lua, -2, "case");
}
