#pragma once
/* Composite kinds: what define() makes (lua-define.c) and what a call of one does
 * (lua-composite.c). */
#include "lang/lua-declare.h"

typedef enum { TYPE_SCALAR, TYPE_LIST, TYPE_MAP, TYPE_ANY } CompositeType;

typedef struct {
    char *name;
    CompositeType type;
    Param param; /* TYPE_SCALAR: conversion as for a kind's parameter */
    bool optional;
    Value *fallback; /* converted, or NULL */
} CompositeParam;

struct Composite {
    GArray *params; /* of CompositeParam, by name */
    int function_ref;
};

void composite_free(Composite *composite); /* accepts NULL */
/* vhost "name" {...}: checks the parameters, runs the function, notes what it declared. */
void composite_declare(lua_State *lua, unsigned target, int params);
