#pragma once
/* The userdata of a program: references, outputs, secrets, inputs. All userdata of our states are
 * Objects, so a type test needs no look-up of metatables. */
#include <lauxlib.h>

#include "lang/eval.h"

typedef enum {
    OBJECT_REF,    /* kind "name" */
    OBJECT_OUT,    /* out(ref, "output") */
    OBJECT_SECRET, /* secret "name", and what is joined to one */
    OBJECT_INPUT,  /* facts, values */
    OBJECT_RAW,    /* raw(text) in a template */
    OBJECT_ABSENT, /* stands for a name that is not there */
    OBJECT_TYPES,
} ObjectType;

typedef struct {
    ObjectType type;
    unsigned target;    /* REF, OUT: index in Eval.targets */
    const char *output; /* OUT: of the kind's table; NULL: it has none of that name */
    const Value *value; /* SECRET: owned by Eval.secrets; INPUT: everything, or NULL */
    const char *name;   /* INPUT: what it is called */
} Object;

/* Registers one metatable per type; functions may be NULL. */
void object_open(lua_State *lua, ObjectType type, const char *name, const luaL_Reg *events);
/* Pushes a new one. */
Object *object_push(lua_State *lua, ObjectType type);
/* NULL when the value there is something else. */
Object *object_at(lua_State *lua, int index, ObjectType type);
/* Takes ownership of value, which must be secret. */
void object_push_secret(lua_State *lua, Value *value);
/* What a value is, for people: "a string", "a reference", "a secret". */
const char *object_type_name(lua_State *lua, int index);
