#include "lang/lua-sandbox.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <string.h>

#include "base/limits.h"
#include "lang/lua-names.h"
#include "lang/lua-object.h"

/* Instructions between two looks at the limits. */
enum { HOOK_PERIOD = 1000 };
/* What an allocation and the collection of its block cost, in instructions. */
enum { REQUEST_STEPS = 16 };
/* Most programs end before this many bytes, without ever collecting garbage. */
#define COLLECT_ABOVE ((size_t)64 * 1024 * 1024)

/* Limits */

static void keep_raised(Eval *eval, char *text) {
    g_free(eval->raised.text);
    eval->raised.text = text;
}

int sandbox_raise_steps(lua_State *lua) {
    Eval *eval = eval_of(lua);
    return sandbox_raise_limit(lua,
                               "runs more than %" G_GUINT64_FORMAT
                               " instructions (LIMIT_LUA_INSTRUCTIONS): is this loop endless?",
                               eval->max_steps);
}

/* Where it happened is kept at once: a pcall() in between would lose it. */
int sandbox_raise_limit(lua_State *lua, const char *format, ...) {
    Eval *eval = eval_of(lua);
    if (!eval->fatal) {
        va_list args;
        va_start(args, format);
        keep_raised(eval, g_strdup_vprintf(format, args));
        va_end(args);
        eval->fatal = true;
        eval->raised.place = eval_place(eval, lua, 0);
        eval->raised.n_callers = eval_callers(lua, 0, eval->raised.callers);
    }
    return eval_raise(lua, "a limit was exceeded");
}

static void count_hook(lua_State *lua, lua_Debug *info) {
    Eval *eval = eval_of(lua);
    uint64_t requests = lua_memory_requests(eval->memory);
    eval->steps += MIN(HOOK_PERIOD, eval->max_steps);
    eval->steps += (requests - eval->counted_requests) * REQUEST_STEPS;
    eval->counted_requests = requests;
    if (eval->steps > eval->max_steps)
        sandbox_raise_steps(lua);
    if (problems_count(eval->problems) >= LIMIT_PROBLEMS)
        sandbox_raise_limit(lua, "has %u problems or more (LIMIT_PROBLEMS): these first",
                            LIMIT_PROBLEMS);
    if (!eval->collecting && lua_memory_used(eval->memory) > COLLECT_ABOVE) {
        eval->collecting = true;
        lua_gc(lua, LUA_GCRESTART);
    }
}

/* Called inside the allocator: Lua must not be used beyond looking at its stack. */
static void on_memory_refused(void *data) {
    Eval *eval = data;
    if (eval->lua)
        eval->memory_place = eval_place(eval, eval->lua, 0);
}

void sandbox_open(Eval *eval) {
    eval->memory = lua_memory_new(eval->max_memory, on_memory_refused, eval);
    lua_State *lua = lua_newstate(lua_memory_alloc, eval->memory);
    if (!lua)
        return;
    *(Eval **)lua_getextraspace(lua) = eval;
    lua_gc(lua, LUA_GCSTOP);
    lua_pushcfunction(lua, names_open);
    if (lua_pcall(lua, 0, 0, 0) != LUA_OK)
        return; /* only memory can be missing: eval->lua stays NULL and sandbox_load() says so */
    eval->lua = lua;
    lua_sethook(lua, count_hook, LUA_MASKCOUNT, (int)MIN(HOOK_PERIOD, eval->max_steps));
}

/* Nothing in a state needs finalizing, so giving its memory back is all there is to do. */
void sandbox_close(Eval *eval) {
    eval->lua = NULL;
    g_clear_pointer(&eval->memory, lua_memory_free);
}

/* Running */

static char *text_of_error(lua_State *lua, int index) {
    if (lua_type(lua, index) == LUA_TSTRING)
        return g_strdup(lua_tostring(lua, index));
    return g_strdup_printf("error was called with %s instead of a text",
                           object_type_name(lua, index));
}

/* Standard functions put `file:line: ` of some level in front of their messages; the file may be
 * shortened there. */
static bool strip_place(const lua_Debug *info, char *text) {
    g_autofree char *prefix = g_strdup_printf("%s:%d: ", info->short_src, info->currentline);
    if (!g_str_has_prefix(text, prefix))
        return false;
    memmove(text, text + strlen(prefix), strlen(text) - strlen(prefix) + 1);
    return true;
}

/* `for name in { ... } do`, as other languages write it; takes ownership of text. */
static char *explain_loop(char *text) {
    if (!g_str_has_prefix(text, "attempt to call a table value (for iterator"))
        return text;
    g_free(text);
    return g_strdup("a loop over a list is 'for _, item in ipairs(list) do', over a map 'for "
                    "key, item in pairs(map) do'");
}

/* Message handler: runs where the error was raised, while the stack is still there. */
static int on_error(lua_State *lua) {
    Eval *eval = eval_of(lua);
    Raised *raised = &eval->raised;
    if (eval->fatal)
        return 1; /* kept by sandbox_raise_limit() */
    char *text = text_of_error(lua, 1);
    lua_Debug info;
    int start = 0;
    for (int level = 0; lua_getstack(lua, level, &info); level++) {
        lua_getinfo(lua, "Sl", &info);
        if (info.currentline > 0 && info.source[0] == '@' && strip_place(&info, text)) {
            start = level;
            break;
        }
    }
    keep_raised(eval, explain_loop(text));
    raised->place = eval_place(eval, lua, start);
    raised->n_callers = eval_callers(lua, start, raised->callers);
    return 1;
}

static void keep_memory_error(Eval *eval) {
    if (eval->fatal)
        return;
    eval->fatal = true;
    eval->raised.place = eval->memory_place;
    eval->raised.n_callers = 0;
    keep_raised(eval, g_strdup_printf("uses more than %zu MB of memory (LIMIT_LUA_MEMORY)",
                                      eval->max_memory / (1024 * 1024)));
}

int sandbox_raise_memory(lua_State *lua) {
    keep_memory_error(eval_of(lua));
    return eval_raise(lua, "a limit was exceeded");
}

void sandbox_check_room(lua_State *lua, uint64_t bytes) {
    Eval *eval = eval_of(lua);
    if (bytes <= eval->max_memory) /* what is garbage may still make room */
        return;
    eval->memory_place = eval_place(eval, lua, 1);
    sandbox_raise_memory(lua);
}

bool sandbox_call(Eval *eval, lua_State *lua, int n_args, int n_results) {
    int base = lua_gettop(lua) - n_args;
    EvalDepth depth = eval_depth(eval);
    lua_pushcfunction(lua, on_error);
    lua_insert(lua, base);
    int status = lua_pcall(lua, n_args, n_results, base);
    if (status != LUA_OK) {
        if (status == LUA_ERRMEM)
            keep_memory_error(eval);
        else if (status == LUA_ERRERR && !eval->fatal)
            keep_raised(eval, g_strdup("fails while an error is being reported"));
        lua_settop(lua, base - 1);
        eval_restore(eval, depth);
        return false;
    }
    lua_remove(lua, base);
    return true;
}

/* What people who come from other formats write; NULL when the parser's words say enough. */
static const char *syntax_remedy(const char *text) {
    static const struct {
        const char *start, *near, *remedy;
    } remedies[] = {
        { "'}' expected", "", "is a comma missing before it, or a brace?" },
        { "syntax error", "near '='", "a block has no '=': KIND \"name\" { ... }" },
        { "<name> expected", "near '\"", "parameters are written with '=': name = \"text\"" },
        { "unexpected symbol", "near '#'", "a comment begins with '--'" },
        { "unexpected symbol", "near '//'", "a comment begins with '--'" },
        { "unexpected symbol", "near '&'", "'and' is written in letters" },
        { "unexpected symbol", "near '|'", "'or' is written in letters" },
        { "unexpected symbol", "near '!'", "'not' is written in letters, 'differs' as '~='" },
        { "syntax error", "near '<\\226>'", "quotes are plain ones: \" or '" },
        { "unexpected symbol", "near '<\\226>'", "quotes are plain ones: \" or '" },
        { "'then' expected", "near '!'", "'differs' is written '~='" },
        { "'then' expected", "near '{'", "write if ... then ... end" },
        { "'then' expected", "near '='", "'equals' is written '=='" },
        { "'do' expected", "near '{'", "write for ... do ... end" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(remedies); i++)
        if (g_str_has_prefix(text, remedies[i].start) && strstr(text, remedies[i].near) != NULL)
            return remedies[i].remedy;
    return NULL;
}

/* The chunk was named "=?", so the message is `?:LINE: text`. */
static void report_syntax(Eval *eval, const char *path, const char *message) {
    char *end = NULL;
    guint64 line = g_str_has_prefix(message, "?:") ? g_ascii_strtoull(message + 2, &end, 10) : 0;
    const char *text = end && g_str_has_prefix(end, ": ") ? end + 2 : message;
    const char *remedy = syntax_remedy(text);
    g_autofree char *told = g_strconcat(text, remedy ? "; " : "", remedy ? remedy : "", NULL);
    problems_add(eval->problems, (Origin){ .file = g_intern_string(path), .line = (unsigned)line },
                 told);
}

/* A byte order mark, and a first line for the shell; its line end stays and is counted. */
static const char *skip_start(const char *text, size_t *size) {
    static const char mark[] = "\xef\xbb\xbf";
    size_t skip = *size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    if (skip < *size && text[skip] == '#')
        while (skip < *size && text[skip] != '\n')
            skip++;
    *size -= skip;
    return text + skip;
}

/* Text only: precompiled code can break the interpreter. */
void sandbox_load(lua_State *lua, const char *path, const char *text, size_t size) {
    text = skip_start(text, &size);
    if (size > 0 && *text == *LUA_SIGNATURE) {
        problems_add(eval_of(lua)->problems, (Origin){ .file = g_intern_string(path) },
                     "compiled Lua is not accepted: give its source");
        eval_raise_reported(lua);
    }
    lua_pushfstring(lua, "@%s", path);
    int status = luaL_loadbufferx(lua, text, size, lua_tostring(lua, -1), "t");
    lua_remove(lua, -2);
    if (status == LUA_OK)
        return;
    lua_pop(lua, 1);
    if (status == LUA_ERRSYNTAX && luaL_loadbufferx(lua, text, size, "=?", "t") != LUA_OK) {
        report_syntax(eval_of(lua), path, lua_tostring(lua, -1));
        eval_raise_reported(lua);
    }
    if (status == LUA_ERRRUN) { /* the parser's own stack, with no word of where */
        problems_add(eval_of(lua)->problems, (Origin){ .file = g_intern_string(path) },
                     "brackets or blocks are nested deeper than 200 levels: take some out into a "
                     "local or a function");
        eval_raise_reported(lua);
    }
    eval_raise(lua, "load '%s': not enough memory", path);
}

static int run_entry(lua_State *lua) {
    Eval *eval = eval_of(lua);
    size_t size;
    GError *error = NULL;
    GBytes *content = sources_load(eval->sources, eval->entry, &error);
    if (!content)
        return eval_raise_error(lua, error);
    const char *text = sources_bytes(content, &size);
    sandbox_load(lua, eval->entry, text, size);
    names_set_environment(lua);
    lua_call(lua, 0, 0);
    return 0;
}

bool sandbox_run(Eval *eval) {
    if (!eval->lua) {
        problems_add(eval->problems, (Origin){ .file = eval->entry },
                     "not enough memory to start Lua");
        return false;
    }
    lua_pushcfunction(eval->lua, run_entry);
    if (sandbox_call(eval, eval->lua, 0, 0))
        return !eval->has_absent;
    eval_report_raised(eval);
    return false;
}
