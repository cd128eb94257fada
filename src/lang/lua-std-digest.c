#include <lauxlib.h>
#include <string.h>

#include "base/digest.h"
#include "lang/lua-object.h"
#include "lang/lua-std.h"
#include "lang/lua-value.h"

/* digest.sha256(text): of a secret it is a secret too, because short secrets can be guessed. */
static int sha256(lua_State *lua) {
    char hex[DIGEST_HEX_SIZE];
    const Object *secret = object_at(lua, 1, OBJECT_SECRET);
    size_t size;
    const char *text;
    if (secret && value_type(secret->value) == VALUE_STRING) {
        text = value_string(secret->value);
        size = value_string_size(secret->value);
    } else {
        text = lua_value_check_text(lua, 1, NULL, &size);
    }
    eval_charge(lua, size / 16);
    digest_bytes(text, size, hex);
    std_push_text(lua, g_strdup(hex), strlen(hex), secret != NULL);
    return 1;
}

void std_open_digest(lua_State *lua) {
    static const luaL_Reg functions[] = { { "sha256", sha256 }, { NULL, NULL } };
    luaL_newlib(lua, functions);
}
