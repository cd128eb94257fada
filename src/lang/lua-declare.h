#pragma once
/*
 * Declarations: kind "name" {...} adds a resource, kind "name" alone is a reference, of which there
 * is one object per kind and name. Edges are kept until the end, when all that is declared is
 * known.
 */
#include "lang/eval.h"

typedef struct Composite Composite; /* lua-composite.h */

/* A kind as the program sees it: of the KindSet, or made by define(). */
typedef struct {
    const Kind *kind; /* NULL: composite, or a program's that was not used yet */
    char *name;       /* as shown: "http:server", "vhost" */
    int params_ref;   /* table of parameter codes in the registry; LUA_NOREF until needed */
    Composite *composite;
    GPtrArray *declared; /* names for suggestions, borrowed; made on first use */
} DeclaredKind;

/* What a reference means. */
typedef struct {
    unsigned kind;    /* index in Eval.kinds */
    const char *name; /* a Lua string kept alive by the kind's table of names */
    bool is_declared;
    bool is_hidden;
    bool is_reported;      /* a problem about its absence was added, or the graph will add one */
    Place place;           /* of the declaration; before that: of the last mention */
    unsigned first, count; /* vertices: one, or all of a composite */
} Target;

typedef enum { WORD_NEEDS, WORD_BEFORE, WORD_NOTIFY, WORD_LISTEN, WORDS } EdgeWord;

/* An edge as written: of `target`, in its parameter `word`, naming `other`. */
typedef struct {
    unsigned target, other;
    EdgeWord word;
    unsigned number; /* order of being read */
    Place place;     /* of the mention of other where that is known better than the declaration's */
} Link;

void declare_init(Eval *eval);
void declare_open(lua_State *lua); /* the kinds and out() */
void declare_clear(Eval *eval);

/* Adds a kind and pushes its function. kind NULL: a composite, whose composite is set later. */
unsigned declare_add_kind(lua_State *lua, const Kind *kind, const char *name);
char *declare_show(const Eval *eval, unsigned target); /* file '/x'; caller frees */

/* Parts of a declaration that resources and composites share. All but the last push nothing and
 * raise nothing. */
/* Whether target may be declared now, at place; adds the problem when it was before. */
bool declare_begin(lua_State *lua, unsigned target, Place place, bool hidden);
/* The value at index as references, in nested lists; problems are added to texts (char *). */
void declare_links(lua_State *lua, unsigned target, EdgeWord word, int index, Place place,
                   GPtrArray *texts);
/* -1: not one of needs, before, notify, listen. */
int declare_word(const char *name);
extern const char *const declare_words[WORDS];
/* Puts the links from number `first` on, which are those of one declaration, into the order of
 * their words: a table has none. */
void declare_order_links(Eval *eval, unsigned first);
/* Adds one problem per text. */
void declare_report(lua_State *lua, unsigned target, GPtrArray *texts);

/* After the program ran: all links become edges of eval->graph; problems are added. */
void declare_resolve(Eval *eval);
