#include <lauxlib.h>
#include <string.h>

#include "lang/lua-inputs.h"
#include "lang/lua-value.h"

/* secret "name" */
static int get_secret(lua_State *lua) {
    Eval *eval = eval_of(lua);
    const char *name = lua_value_check_text(lua, 1, "the name", NULL);
    const Value *secrets = eval->inputs->secrets;
    const Value *item = secrets ? value_map_get(secrets, name) : NULL;
    if (!item && eval->inputs->any_secret) {
        Value *empty = value_new_string("");
        Value *secret = value_as_secret(empty, name);
        value_unref(empty);
        object_push_secret(lua, secret);
        return 1;
    }
    if (!item)
        return eval_raise(lua, "no such secret '%s': %s", name,
                          secrets ? "add it to the file given with --secrets"
                                  : "give a file with names and values with --secrets FILE");
    if (value_type(item) != VALUE_STRING)
        return eval_raise(lua,
                          "the secret '%s' is not a string: put it in quotes in the file "
                          "given with --secrets",
                          name);
    Value *secret = value_as_secret(item, name);
    eval_note_read(eval, "secret", name, secret);
    object_push_secret(lua, secret);
    return 1;
}

/* The text of an operand of "..": a secret, string or number. NULL: something else. */
static const char *operand_text(lua_State *lua, int index, size_t *ret_size) {
    const Object *secret = object_at(lua, index, OBJECT_SECRET);
    if (!secret)
        return lua_isstring(lua, index) ? lua_tolstring(lua, index, ret_size) : NULL;
    if (value_type(secret->value) != VALUE_STRING)
        return NULL;
    *ret_size = value_string_size(secret->value);
    return value_string(secret->value);
}

/* What is joined to a secret is secret. */
static int join_secret(lua_State *lua) {
    size_t left_size, right_size;
    const char *left = operand_text(lua, 1, &left_size);
    const char *right = operand_text(lua, 2, &right_size);
    if (!left || !right)
        return eval_raise(lua, "a secret can be joined to text only, not to %s",
                          object_type_name(lua, left ? 2 : 1));
    if (left_size + right_size > eval_of(lua)->max_memory)
        return eval_raise(lua, "the text is too long");
    char *text = g_malloc(left_size + right_size);
    memcpy(text, left, left_size);
    memcpy(text + left_size, right, right_size);
    g_autoptr(Value) plain = value_new_bytes(text, left_size + right_size);
    Value *secret = value_as_secret(plain, NULL);
    explicit_bzero(text, left_size + right_size);
    g_free(text);
    g_clear_pointer(&plain, value_unref);
    object_push_secret(lua, secret);
    return 1;
}

static int show_secret(lua_State *lua) {
    return eval_raise(lua, "a secret cannot be made text: join it with '..', use it in a template "
                           "or give it as a parameter");
}

static int index_secret(lua_State *lua) {
    return eval_raise(lua, "a secret cannot be looked into");
}

void inputs_open_secret(lua_State *lua) {
    static const luaL_Reg events[] = {
        { "__concat", join_secret },
        { "__tostring", show_secret },
        { "__index", index_secret },
        { NULL, NULL },
    };
    object_open(lua, OBJECT_SECRET, "secret", events);
    lua_pushcfunction(lua, get_secret);
    lua_setfield(lua, -2, "secret");
}
