/* The language itself: purity, order, limits, the standard functions that were replaced. */
#include <locale.h>
#include <string.h>

#include "base/json.h"
#include "lang/lua-memory.h"
#include "lang/test-kinds.h"

/* An expression and its value as JSON. */
static void expect(const char *expression, const char *json) {
    g_autofree char *text = g_strdup_printf("value 'x' { any = { %s } }", expression);
    test_expect_value(text, json);
}

static void test_strings(void) {
    expect("('hello world'):find('o w')", "[5,7]");
    expect("('hello'):find('l+')", "[3,4]");
    expect("('hello'):find('(l)(l)')", "[3,4,\"l\",\"l\"]");
    expect("('hello'):find('xyz') == nil, ('a.b'):find('.', 1, true)", "[true,2,2]");
    expect("('hello'):find('', 10) == nil, (('hello'):find('', 6))", "[true,6]");
    expect("('hello'):find('l', -2)", "[4,4]");
    expect("('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "[\"key\",\"value\"]");
    expect("('2026-10-23'):match('(%d+)-(%d+)-(%d+)')", "[\"2026\",\"10\",\"23\"]");
    expect("('x'):match('()')", "[1]");
    expect("('abc'):match('.-c'), ('abc'):match('a?b'), ('bc'):match('a?b')",
           "[\"abc\",\"ab\",\"b\"]");
    expect("('f(a(b)c)d'):match('%b()'), ('f('):match('%b()') == nil", "[\"(a(b)c)\",true]");
    expect("('THE (quick) fox'):find('%f[%a]%a+%f[%A]', 5)", "[6,10]");
    expect("('\"a\" \\'b\\''):match('([\\'\"])(.-)%1')", "[\"\\\"\",\"a\"]");
    expect("('a]b'):match('[]]'), ('a^b'):match('[%^]'), ('a-b'):match('[a%-]+')",
           "[\"]\",\"^\",\"a-\"]");
    expect("('abc123'):match('[^%d]+'), ('x-y'):match('[x-z]')", "[\"abc\",\"x\"]");
    expect("('abc'):gsub('%w', '%0%0')", "[\"aabbcc\",3]");
    expect("('abc'):gsub('', '-')", "[\"-a-b-c-\",4]");
    expect("('hello world'):gsub('o', '0', 1)", "[\"hell0 world\",1]");
    expect("('$name is $age'):gsub('%$(%w+)', { name = 'x', age = 3 })", "[\"x is 3\",2]");
    expect("('abc'):gsub('b', function(c) return c:upper() end)", "[\"aBc\",1]");
    expect("('abc'):gsub('b', function() return false end)", "[\"abc\",1]");
    expect("('a b'):gsub('(%w) (%w)', '%2 %1')", "[\"b a\",1]");
    expect("('100%'):gsub('%%', '%%%%')", "[\"100%%\",1]");
    expect("('abc'):gsub('^a', 'x')", "[\"xbc\",1]");
    expect("(function() local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do "
           "t[#t+1] = k .. v end return table.unpack(t) end)()",
           "[\"a1\",\"b2\"]");
    expect("(function() local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n end)()",
           "[4]");
    expect("('x'):rep(3, '-'), ('x'):rep(0), (''):rep(1 << 60)", "[\"x-x-x\",\"\",\"\"]");
    expect("string.format('%5.1f|%-5s|%05d|%%|%q', 1.25, 'ab', 42, 'a\\nb')",
           "[\"  1.2|ab   |00042|%|\\\"a\\\\\\nb\\\"\"]");
    expect("string.format('%s %s %s', {}, true, nil)", "[\"table true nil\"]");
    expect("('%d'):format(3), ('a,b'):upper(), #'abc', ('abc'):byte(1, -1)",
           "[\"3\",\"A,B\",3,97,98,99]");
}

static void test_tables(void) {
    expect("table.concat({ 1, 2, 3 }, '-'), table.unpack({ 1, 2 })", "[\"1-2-3\",1,2]");
    expect("(function() local t = { 3, 1, 2 } table.sort(t) return table.unpack(t) end)()",
           "[1,2,3]");
    expect("(function() local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end) "
           "return table.unpack(t) end)()",
           "[3,2,1]");
    expect("(function() local t = { { 'b', 1 }, { 'a', 2 }, { 'b', 0 }, { 'a', 1 } } "
           "table.sort(t, function(a, b) return a[1] < b[1] end) "
           "return t[1][2], t[2][2], t[3][2], t[4][2] end)()",
           "[2,1,1,0]");
    expect("(function() local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1000 end table.sort(t) "
           "for i = 1, 1000 do if t[i] ~= i - 1 then return i end end return 'sorted' end)()",
           "[\"sorted\"]");
    expect("(function() local t = { 5, 4, 3, 2, 1 } table.sort(t, function() return true end) "
           "return #t end)()",
           "[5]");
    expect("(function() return table.unpack(table.move({ 1, 2, 3 }, 2, 3, 1)) end)()", "[2,3,3]");
    expect("select('#', 1, nil, 2), select(2, 'a', 'b')", "[3,\"b\"]");
}

static void test_metatables(void) {
    expect("(function() local C = {} C.__index = C function C.name(s) return s.n end "
           "local o = setmetatable({ n = 3 }, C) return o:name(), getmetatable(o) == C end)()",
           "[3,true]");
    expect("(function() local m = {} local t = setmetatable({}, m) m.__gc = 1 m.__mode = 'k' "
           "m.__index = { x = 1 } return t.x == nil end)()",
           "[true]");
    expect("getmetatable('') == false, getmetatable(facts) == false, getmetatable(std) == false",
           "[true,true,true]");
    expect("tostring(setmetatable({}, { __tostring = function() return 'mine' end }))",
           "[\"mine\"]");
    expect("(function() local t = setmetatable({}, { __pairs = function(t) return next, { a = 1 } "
           "end })"
           " for k, v in pairs(t) do return k, v end end)()",
           "[\"a\",1]");
    test_expect_error("setmetatable({}, { __mode = 'k' })", "the metatable event '__mode'");
    test_expect_error("setmetatable({}, { __len = function() return 1e15 end })", "'__len'");
    test_expect_error("setmetatable(values, {})", "must be a table, not a table");
}

static void test_pcall(void) {
    expect("pcall(error, 'x')", "[false,\"x\"]");
    expect("pcall(function() local x = nil .. 'a' end)",
           "[false,\"site.lua:1: attempt to concatenate a nil value\"]");
    expect("pcall(function(a, b) return b, a end, 1, 2)", "[true,2,1]");
    expect("(pcall(std.json.decode, '['))", "[false]");
}

/* An error inside a composite that is caught leaves the place of what follows right. */
static void test_pcall_frames(void) {
    g_autoptr(TestRun) run = test_lua("define('web', {}, function(name) error('x') end)\n"
                                      "pcall(function() web 'a' {} end)\n"
                                      "noop 'b' { nop = true }\n");
    g_assert_cmpstr(run->messages, ==,
                    "site.lua:3: noop 'b': no parameter 'nop', did you mean 'noop'?\n"
                    "    noop 'b' { nop = true }\n");
}

static void test_absent(void) {
    static const char *const names[] = {
        "io",     "os",       "debug",      "package",        "require",   "load",
        "dofile", "loadfile", "loadstring", "collectgarbage", "coroutine", "xpcall",
        "warn",   "print",    "_G",         "_VERSION",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *text = g_strdup_printf("local x = %s", names[i]);
        g_autofree char *part = g_strdup_printf("no such kind or name '%s'", names[i]);
        test_expect_error(text, part);
    }
    test_expect_error("local x = string.dump", "no such function 'string.dump'");
    test_expect_error("local x = math.random", "no such function 'math.random'");
}

/* Globals of one file are not seen in another. */
static void test_environments(void) {
    const char *const more[] = { "a.lua", "shared = 1 own = 2 return { own = own }", "b.lua",
                                 "return shared", NULL };
    g_autoptr(TestRun) run =
        test_run("site.lua", "local a = import 'a' local b = import 'b'", NULL, more);
    g_assert_true(strstr(run->messages, "b.lua:1: no such kind or name 'shared'") != NULL);
    const char *const once[] = { "a.lua", "noop 'a' {} return { n = 1 }", "b.lua",
                                 "return import 'a'", NULL };
    g_autoptr(TestRun) shared =
        test_run("site.lua", "value 'x' { any = { import 'a' == import 'b' } }", NULL, once);
    g_autofree char *shown = test_value_of(shared, "x");
    g_assert_cmpstr(shown, ==, "[true]");
    g_assert_cmpuint(graph_size(shared->result.graph), ==, 2);
}

/* Many tables, so that Lua's seeds and addresses would show. */
static const char *const program =
    "local t = {}\n"
    "for i = 1, 500 do t['key' .. i * 7919 % 1000] = i end\n"
    "local order = {}\n"
    "for k in pairs(t) do order[#order + 1] = k end\n"
    "for i, k in ipairs(order) do\n"
    "  noop(k) { needs = i > 1 and noop(order[i - 1]) or nil, sema = { 'a', 'b:' .. i } }\n"
    "end\n"
    "value 'order' { any = order }\n"
    "value 'text' { any = { tostring({}), tostring(function() end), std.json.encode(t) } }\n"
    "value 'next' { any = { next({ b = 1, a = 2, c = 3 }) } }\n";

static void test_deterministic(void) {
    char first[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE];
    g_autofree char *first_graph = NULL;
    for (int i = 0; i < 5; i++) {
        g_autoptr(TestRun) run = test_lua(program);
        g_assert_cmpstr(run->messages, ==, "");
        g_autoptr(Value) value = graph_to_value(run->result.graph);
        g_autofree char *graph = json_print(value, JSON_COMPACT);
        graph_digest(run->result.graph, i == 0 ? first : again);
        if (i == 0) {
            first_graph = g_steal_pointer(&graph);
            continue;
        }
        g_assert_cmpstr(again, ==, first);
        g_assert_cmpstr(graph, ==, first_graph);
    }
}

/* The same in an order that is written down. */
static void test_order(void) {
    g_autoptr(TestRun) run = test_lua(program);
    g_autofree char *shown = test_value_of(run, "next");
    g_assert_cmpstr(shown, ==, "[\"a\",2]");
    const Value *order = resource_get(test_find(run, "value", "order"), 0);
    g_assert_cmpuint(value_size(order), ==, 500);
    for (size_t i = 1; i < value_size(order); i++)
        g_assert_cmpint(value_compare(value_list_at(order, i - 1), value_list_at(order, i)), <, 0);
}

static void test_next(void) {
    expect("next({}) == nil, next({}, nil) == nil", "[true,true]");
    expect("(function() local t, n = {}, 0 for i = 1, 100 do t['k' .. i] = i end "
           "local k = next(t) while k do n = n + t[k] k = next(t, k) end return n end)()",
           "[5050]");
    expect("(function() local t = { a = 1, b = 2, c = 3 } local n = 0 "
           "for k in pairs(t) do t[k] = nil t['new' .. k] = 1 n = n + 1 end return n end)()",
           "[3]");
    expect("(function() local t, n = { a = 1, b = 2, c = 3 }, 0 while next(t) do t[next(t)] = nil "
           "n = n + 1 end return n end)()",
           "[3]");
    expect("(function() local n = 0 for i, v in pairs({ 1, nil, 3 }) do n = n * 10 + i end "
           "return n end)()",
           "[13]");
    test_expect_error("next({ a = 1 }, 'b')", "a key that the table does not have");
}

static void test_limits(void) {
    LangInputs inputs = { .kinds = &test_kinds, .max_instructions = 200 };
    g_autoptr(TestRun) few = test_run("site.lua", "for i = 1, 1000 do end", &inputs, NULL);
    g_assert_true(strstr(few->messages, "runs more than 200 instructions") != NULL);
    g_autoptr(TestRun) fits = test_run("site.lua", "for i = 1, 10 do end", &inputs, NULL);
    g_assert_cmpstr(fits->messages, ==, "");
    inputs = (LangInputs){ .kinds = &test_kinds, .max_memory = 1000 };
    g_autoptr(TestRun) none = test_run("site.lua", "noop 'a' {}", &inputs, NULL);
    g_assert_cmpstr(none->messages, ==, "site.lua: not enough memory to start Lua\n");
}

/* Whatever memory is allowed: a clean error or a result, never a crash. */
static void test_little_memory(void) {
    const char *const more[] = { "a.lua", "return { std.json.decode('[1,[2,{\"a\":3}]]') }",
                                 "x.tmpl", "{% for i = 1, 9 do %}{{ i }}{% end %}", NULL };
    bool failed = false, worked = false;
    for (size_t memory = 20000; memory < 400000; memory += 1999) {
        const LangInputs inputs = { .kinds = &test_kinds, .max_memory = memory };
        g_autoptr(TestRun) run = test_run(
            "site.lua",
            "local a = import 'a'\n"
            "define('web', { port = 'int' }, function(n, p) file('/' .. n) { content = 'x' } end)\n"
            "for i = 1, 100 do web('w' .. i) { port = i } end\n"
            "value 'x' { any = { template('x.tmpl'), ('x'):rep(100), std.list.range(100) } }\n"
            "pcall(function() for k in pairs { a = 1, b = 2 } do end end)\n",
            &inputs, more);
        failed = failed || !run->fine;
        worked = worked || run->fine;
    }
    g_assert_true(failed);
    g_assert_true(worked);
}

/* Limits of what C functions do without instructions. */
static void test_long_functions(void) {
    static const char *const programs[] = {
        "table.move({}, 1, 1 << 60, 1, {})",
        "local s = ('x'):rep(1 << 40)",
        "local s = ('x'):rep(1 << 30, 'y')",
        "std.list.range(1 << 60)",
        "(('a'):rep(50)):find(('a?'):rep(50) .. ('a'):rep(50) .. 'b')",
        "(('a'):rep(30000)):find(('.-'):rep(4) .. 'b')",
        "(('a'):rep(1000)):gsub(('.-'):rep(9) .. 'b', '')",
        "(('('):rep(200000)):find('%b()')",
        "local t = {} for i = 1, 200 do t = { t, t } end std.json.encode(t)",
        "local t = { 1 } for i = 1, 80 do t = { t, t } end value 'x' { any = t }",
        "std.net.subnets('::/0', 128)",
        "std.text.pad('', 1 << 40)",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(programs); i++) {
        const LangInputs inputs = { .kinds = &test_kinds,
                                    .max_instructions = 50000000,
                                    .max_memory = 50000000 };
        g_autoptr(TestRun) run = test_run("site.lua", programs[i], &inputs, NULL);
        if (run->fine)
            g_error("no limit stops '%s'", programs[i]);
    }
}

static void test_deep(void) {
    test_expect_error("local function f() return f() + 1 end f()", "stack overflow");
    test_expect_error("local t = {} t.__index = function(t, k) return t[k .. 'x'] end "
                      "local x = setmetatable({}, t).a",
                      "stack overflow");
    test_expect_error("define('web', {}, function(n) web(n .. 'x') {} end) web 'a' {}",
                      "stack overflow");
}

/* Comparing and printing do not depend on the user's locale. */
static void test_locale(void) {
    g_autofree char *before = g_strdup(setlocale(LC_ALL, NULL));
    (void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is not installed the test shows less */
    expect("'a' < 'B', 'Z' < 'a', 1.5 .. '', tonumber('1.5')", "[false,true,\"1.5\",1.5]");
    setlocale(LC_ALL, before);
}

static Value *nothing(void *data, const Value *inputs, GError **error) {
    return value_new_map();
}

static void note_case(void *data, const char *name, const GPtrArray *problems) {
    g_string_append_printf(data, "%s: %u;", name, problems->len);
}

/* A failed case is told and the next one runs; a limit ends all. */
static void test_cases(void) {
    g_autoptr(GString) seen = g_string_new(NULL);
    const LangCases cases = { nothing, note_case, seen };
    const LangInputs inputs = { .kinds = &test_kinds, .cases = &cases, .max_instructions = 100000 };
    g_autoptr(TestRun) run = test_run("a.test.lua",
                                      "case('fails', {}, function() expect(false) error('x') end)\n"
                                      "case('fine', {}, function(r) expect(r) end)\n"
                                      "case('endless', {}, function() while true do end end)\n"
                                      "case('never', {}, function() end)\n",
                                      &inputs, NULL);
    g_assert_cmpstr(seen->str, ==, "fails: 2;fine: 0;");
    g_assert_true(g_str_has_prefix(run->messages, "a.test.lua:3: runs more than 100000"));
}

static void test_start(void) {
    g_autoptr(TestRun) mark = test_lua("\xef\xbb\xbfnoop 'a' {}");
    g_assert_cmpstr(mark->messages, ==, "");
    g_autoptr(TestRun) shell = test_lua("#!/usr/bin/env stead\nnoop 'a' { nop = 1 }");
    g_assert_true(g_str_has_prefix(shell->messages, "site.lua:2: noop 'a'"));
    g_autoptr(TestRun) only = test_lua("#");
    g_assert_cmpstr(only->messages, ==, "");
}

static void test_memory(void) {
    LuaMemory *memory = lua_memory_new(100000, NULL, NULL);
    char *small = lua_memory_alloc(memory, NULL, 5, 40), *large;
    memset(small, 1, 40);
    g_assert_cmpuint(lua_memory_used(memory), ==, 40);
    small = lua_memory_alloc(memory, small, 40, 4000);
    g_assert_cmpint(small[39], ==, 1);
    memset(small, 2, 4000);
    small = lua_memory_alloc(memory, small, 4000, 50000);
    g_assert_cmpint(small[3999], ==, 2);
    small = lua_memory_alloc(memory, small, 50000, 17);
    g_assert_cmpint(small[16], ==, 2);
    large = lua_memory_alloc(memory, NULL, 0, 2000);
    lua_memory_alloc(memory, small, 17, 0);
    g_assert_cmpuint(lua_memory_used(memory), ==, 2000);
    lua_memory_alloc(memory, large, 2000, 0);
    g_assert_cmpuint(lua_memory_used(memory), ==, 0);
    lua_memory_free(memory);
    lua_memory_free(NULL);
}

/* Interned strings live as long as the process, and an agent reads many configurations. */
static void test_absent_files(void) {
    g_autoptr(TestRun) run =
        test_run("site.lua", "template('gone.tmpl') pcall(import, 'gone.module')", NULL, NULL);
    g_assert_nonnull(strstr(run->messages, "gone.tmpl"));
    g_assert_cmpuint(g_quark_try_string("site.lua"), !=, 0);
    g_assert_cmpuint(g_quark_try_string("gone.tmpl"), ==, 0);
    g_assert_cmpuint(g_quark_try_string("gone/module.lua"), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sandbox/strings", test_strings);
    g_test_add_func("/sandbox/tables", test_tables);
    g_test_add_func("/sandbox/metatables", test_metatables);
    g_test_add_func("/sandbox/pcall", test_pcall);
    g_test_add_func("/sandbox/pcall-frames", test_pcall_frames);
    g_test_add_func("/sandbox/absent", test_absent);
    g_test_add_func("/sandbox/environments", test_environments);
    g_test_add_func("/sandbox/deterministic", test_deterministic);
    g_test_add_func("/sandbox/order", test_order);
    g_test_add_func("/sandbox/next", test_next);
    g_test_add_func("/sandbox/limits", test_limits);
    g_test_add_func("/sandbox/little-memory", test_little_memory);
    g_test_add_func("/sandbox/long-functions", test_long_functions);
    g_test_add_func("/sandbox/deep", test_deep);
    g_test_add_func("/sandbox/locale", test_locale);
    g_test_add_func("/sandbox/cases", test_cases);
    g_test_add_func("/sandbox/start", test_start);
    g_test_add_func("/sandbox/memory", test_memory);
    g_test_add_func("/sandbox/absent-files", test_absent_files);
    return g_test_run();
}
