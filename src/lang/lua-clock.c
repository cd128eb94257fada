#include <lauxlib.h>

#include "lang/clock.h"
#include "lang/lua-inputs.h"
#include "lang/lua-value.h"

/* The zone named by the argument at index, UTC without one. Raises; caller unrefs. */
static GTimeZone *zone_at(lua_State *lua, int index) {
    const char *name = "UTC";
    if (!lua_isnoneornil(lua, index))
        name = lua_value_check_text(lua, index, "the time zone", NULL);
    GError *error = NULL;
    GTimeZone *zone = clock_zone(name, &error);
    if (!zone)
        eval_raise_error(lua, error);
    return zone;
}

/* Upvalue 1: the ClockPart. */
static int part(lua_State *lua) {
    Eval *eval = eval_of(lua);
    ClockPart which = (ClockPart)lua_tointeger(lua, lua_upvalueindex(1));
    GTimeZone *zone = zone_at(lua, 1);
    ClockAnswer answer = clock_part(zone, eval->inputs->wall_now, which);
    g_time_zone_unref(zone);
    eval_note_change(eval, answer.next_change);
    if (which == CLOCK_WEEKDAY)
        lua_pushstring(lua, clock_weekday_name((int)answer.value));
    else
        lua_pushinteger(lua, answer.value);
    return 1;
}

/* clock.date([zone]): "2026-10-25" */
static int date(lua_State *lua) {
    Eval *eval = eval_of(lua);
    GTimeZone *zone = zone_at(lua, 1);
    ClockAnswer answer = clock_part(zone, eval->inputs->wall_now, CLOCK_DATE);
    g_time_zone_unref(zone);
    eval_note_change(eval, answer.next_change);
    int number = (int)answer.value;
    char text[32];
    g_snprintf(text, sizeof text, "%04d-%02d-%02d", number / 10000, number / 100 % 100,
               number % 100);
    lua_pushstring(lua, text);
    return 1;
}

static int time_at(lua_State *lua, int index) {
    int seconds;
    GError *error = NULL;
    const char *text = lua_value_check_text(lua, index, "a time", NULL);
    if (!clock_parse_time(text, &seconds, &error))
        eval_raise_error(lua, error);
    return seconds;
}

/* clock.between(from, to [, zone]) */
static int between(lua_State *lua) {
    Eval *eval = eval_of(lua);
    int from = time_at(lua, 1), to = time_at(lua, 2);
    if (from == to)
        return eval_raise(lua, "clock.between needs two different times");
    GTimeZone *zone = zone_at(lua, 3);
    ClockAnswer answer = clock_between(zone, eval->inputs->wall_now, from, to);
    g_time_zone_unref(zone);
    eval_note_change(eval, answer.next_change);
    lua_pushboolean(lua, answer.value != 0);
    return 1;
}

static bool is_after(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *text = lua_value_check_text(lua, 1, "the instant", NULL);
    GTimeZone *zone = zone_at(lua, 2);
    uint64_t instant;
    GError *error = NULL;
    bool fine = clock_parse_instant(text, zone, &instant, &error);
    g_time_zone_unref(zone);
    if (!fine)
        eval_raise_error(lua, error);
    ClockAnswer answer = clock_after(eval->inputs->wall_now, instant);
    eval_note_change(eval, answer.next_change);
    return answer.value != 0;
}

/* clock.after(instant [, zone]) */
static int after(lua_State *lua) {
    lua_pushboolean(lua, is_after(lua));
    return 1;
}

/* clock.before(instant [, zone]) */
static int before(lua_State *lua) {
    lua_pushboolean(lua, !is_after(lua));
    return 1;
}

void inputs_open_clock(lua_State *lua) {
    static const struct {
        const char *name;
        ClockPart part;
    } parts[] = {
        { "year", CLOCK_YEAR },     { "month", CLOCK_MONTH },     { "day", CLOCK_DAY },
        { "week", CLOCK_WEEK },     { "weekday", CLOCK_WEEKDAY }, { "hour", CLOCK_HOUR },
        { "minute", CLOCK_MINUTE },
    };
    static const luaL_Reg functions[] = {
        { "date", date },     { "between", between }, { "after", after },
        { "before", before }, { NULL, NULL },
    };
    lua_newtable(lua);
    luaL_setfuncs(lua, functions, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        lua_pushinteger(lua, parts[i].part);
        lua_pushcclosure(lua, part, 1);
        lua_setfield(lua, -2, parts[i].name);
    }
    lua_setfield(lua, -2, "clock");
}
