/* A resource on its way to the page: built, checked by its kind against the machine, written. */
#include <string.h>

#include "adopt/adopt-private.h"
#include "kinds/kinds.h"
#include "lang/name.h"

struct Form {
    Resource *resource;
    GArray *items; /* of PageItem */
    bool refused;  /* a parameter does not convert */
};

static void item_clear(void *data) {
    PageItem *item = data;
    g_free(item->key);
    g_free(item->value);
}

Form *form_new(const char *kind, const char *name) {
    const Kind *found = kind_set_find(&builtin_kinds, kind);
    if (found == NULL || name_refusal(name, strlen(name)) != NULL)
        return NULL;
    Form *form = g_new0(Form, 1);
    form->resource = resource_new(found, name, (Origin){ 0 });
    form->items = g_array_new(FALSE, FALSE, sizeof(PageItem));
    g_array_set_clear_func(form->items, item_clear);
    return form;
}

void form_free(Form *form) {
    if (form == NULL)
        return;
    resource_unref(form->resource);
    g_array_unref(form->items);
    g_free(form);
}

/* --- parameters. Each takes over value, and text of Lua. */

static void show(Form *form, const char *key, char *text) {
    PageItem item = { g_strdup(key), text };
    g_array_append_val(form->items, item);
}

static void put(Form *form, const char *param, Value *value) {
    g_autoptr(Value) own = value;
    form->refused |= !resource_set(form->resource, param, own, NULL);
}

void form_string(Form *form, const char *param, const char *text) {
    if (form == NULL)
        return;
    put(form, param, value_new_string(text));
    show(form, param, page_quote(text, strlen(text)));
}

void form_int(Form *form, const char *param, int64_t number) {
    if (form == NULL)
        return;
    put(form, param, value_new_int(number));
    show(form, param, g_strdup_printf("%" G_GINT64_FORMAT, number));
}

void form_bool(Form *form, const char *param, bool yes) {
    if (form == NULL)
        return;
    put(form, param, value_new_bool(yes));
    show(form, param, g_strdup(yes ? "true" : "false"));
}

void form_list(Form *form, const char *param, const char *const *items) {
    if (form == NULL)
        return;
    Value *list = value_new_list();
    for (const char *const *item = items; *item != NULL; item++)
        value_list_append(list, value_new_string(*item));
    put(form, param, list);
    show(form, param, page_list(items));
}

void form_text(Form *form, const char *param, const char *text, size_t size) {
    if (form == NULL)
        return;
    put(form, param, value_new_bytes(text, size));
    show(form, param, page_text_value(text, size));
}

void form_source(Form *form, const char *source, GBytes *content) {
    if (form == NULL)
        return;
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    put(form, "content", value_new_bytes(data, size));
    show(form, "source", page_quote(source, strlen(source)));
}

void form_secret(Form *form, const char *param, const char *secret, const char *text, size_t size) {
    if (form == NULL)
        return;
    g_autoptr(Value) plain = value_new_bytes(text, size);
    put(form, param, value_as_secret(plain, secret));
    g_autofree char *name = page_quote(secret, strlen(secret));
    show(form, param, g_strconcat("secret ", name, NULL));
}

void form_notify(Form *form, const char *kind, const char *name) {
    if (form == NULL)
        return;
    g_autofree char *quoted = page_quote(name, strlen(name));
    show(form, "notify", g_strconcat(kind, " ", quoted, NULL));
}

/* --- whether the machine is so already */

static char *first_problem(const GPtrArray *problems) {
    return g_strdup(problems->len > 0 ? ((GError *)problems->pdata[0])->message : "refused");
}

static char *describe_changes(const Changes *changes) {
    g_autoptr(GString) text = g_string_new(action_name(changes->action));
    for (unsigned i = 0; i < changes->changes->len; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : " ",
                               g_array_index(changes->changes, Change, i).property);
    return g_strdup(text->str);
}

/* A round of the engine's, up to the difference. */
static bool look(KindRun *run, State *state, Changes *changes, GError **error) {
    const Kind *kind = run->resource->kind;
    return kind->observe(run, state, error) &&
           (kind->diff != NULL ? kind->diff(run, state, changes, error)
                               : kind_diff_properties(run, state, changes, error));
}

bool form_fits(Form *form, Host *host, char **ret_problem) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (form->refused || !resource_finish(form->resource, problems)) {
        if (ret_problem != NULL)
            *ret_problem = first_problem(problems);
        return false;
    }
    g_autoptr(State) state = state_new(form->resource->kind);
    g_autoptr(Changes) changes = changes_new();
    g_autoptr(GError) error = NULL;
    KindRun run = { .host = host,
                    .resource = form->resource,
                    .reason = REASON_START,
                    .planning = true,
                    .once = true,
                    .wall_now = (uint64_t)g_get_real_time(),
                    .exit_code = -1 };
    bool looked = look(&run, state, changes, &error);
    bool fits = looked && changes_empty(changes) && !changes->uncertain;
    if (!fits && ret_problem != NULL)
        *ret_problem = looked ? describe_changes(changes) : g_strdup(error->message);
    value_unref(run.outputs);
    value_unref(run.keep);
    g_free(run.note);
    return fits;
}

/* --- to the page */

static char *key_of(const char *kind, const char *name) {
    return g_strconcat(kind, " ", name, NULL);
}

bool adopt_is_declared(Adopt *adopt, const char *kind, const char *name) {
    g_autofree char *key = key_of(kind, name);
    return g_hash_table_contains(adopt->declared, key);
}

/* What it is on the machine, under whatever name; NULL: nobody else can be that. */
static char *thing_of(const Resource *resource) {
    g_autofree char *identity = resource_identity(resource);
    return identity != NULL ? g_strconcat(resource->kind->name, "\n", identity, NULL) : NULL;
}

bool adopt_take(Adopt *adopt, Form *form) {
    if (form == NULL)
        return false;
    const char *kind = form->resource->kind->name, *name = form->resource->name;
    g_autofree char *problem = NULL;
    if (adopt_is_declared(adopt, kind, name))
        return false;
    if (!form_fits(form, adopt->host, &problem)) {
        g_debug("adopt: %s '%s' does not fit: %s", kind, name, problem);
        return false;
    }
    g_autofree char *thing = thing_of(form->resource);
    if (thing != NULL && g_hash_table_contains(adopt->declared, thing))
        return false;
    g_hash_table_add(adopt->declared, key_of(kind, name));
    if (thing != NULL)
        g_hash_table_add(adopt->declared, g_steal_pointer(&thing));
    adopt->taken++;
    page_resource(adopt->page, kind, name, (const PageItem *)(const void *)form->items->data,
                  form->items->len);
    return true;
}
