#include "cli/deploy-diff.h"

#include <string.h>

#include "base/error.h"
#include "base/text-diff.h"
#include "cli/deploy-plan.h"

#define CONTEXT 3u

char *deploy_digest(const HubLink *link, const char *word, GError **error) {
    if (!*word || strspn(word, "0123456789") != strlen(word) || strlen(word) > 18)
        return g_strdup(word);
    g_autofree char *path = g_strconcat("/v1/deploys/", word, NULL);
    g_autoptr(Value) deploy = hub_call(link, "GET", path, NULL, error);
    return deploy ? g_strdup(value_map_string(deploy, "digest", "")) : NULL;
}

static Bundle *fetch(const HubLink *link, const char *word, GError **error) {
    g_autofree char *digest = deploy_digest(link, word, error);
    return digest ? deploy_fetch_bundle(link, digest, error) : NULL;
}

/* --- files */

static const char *text_of(const BundleEntry *entry, size_t *ret_size) {
    if (!entry || entry->type == BUNDLE_DIRECTORY) {
        *ret_size = 0;
        return "";
    }
    if (entry->type == BUNDLE_LINK) {
        *ret_size = strlen(entry->target);
        return entry->target;
    }
    const char *text = g_bytes_get_data(entry->content, ret_size);
    return text ? text : "";
}

static bool is_same(const BundleEntry *a, const BundleEntry *b) {
    size_t size_a, size_b;
    const char *text_a = text_of(a, &size_a), *text_b = text_of(b, &size_b);
    return a && b && a->type == b->type && a->executable == b->executable && size_a == size_b &&
           memcmp(text_a, text_b, size_a) == 0;
}

static const char *change_of(const BundleEntry *before, const BundleEntry *after) {
    return !before ? "add" : !after ? "remove" : "change";
}

static void tell_file(Printer *printer, const BundleEntry *before, const BundleEntry *after) {
    size_t size_before, size_after;
    const char *old = text_of(before, &size_before), *new = text_of(after, &size_after);
    const char *path = after ? after->path : before->path, *change = change_of(before, after);
    g_autofree char *text = text_diff(old, size_before, new, size_after, CONTEXT);
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        value_map_set(map, "path", value_new_string(path));
        value_map_set(map, "change", value_new_string(change));
        value_map_set(map, "diff", value_new_string(text));
        printer_json(printer, "file", map);
        return;
    }
    bool moded = before && after && before->executable != after->executable;
    printer_line(printer, STYLE_STRONG, "%s %s%s", change, path,
                 !moded              ? ""
                 : after->executable ? " (now executable)"
                                     : " (not executable any more)");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line && (**line || line[1]); line++)
        printer_line(printer,
                     **line == '+'   ? STYLE_GOOD
                     : **line == '-' ? STYLE_BAD
                     : **line == '@' ? STYLE_DIM
                                     : STYLE_PLAIN,
                     "%s", *line);
}

/* Both are in byte order of their paths. */
static unsigned tell_files(Printer *printer, const Bundle *from, const Bundle *to) {
    unsigned i = 0, j = 0, count = 0;
    while (i < from->entries->len || j < to->entries->len) {
        const BundleEntry *old = i < from->entries->len ? from->entries->pdata[i] : NULL,
                          *new = j < to->entries->len ? to->entries->pdata[j] : NULL;
        int order = !old ? 1 : !new ? -1 : strcmp(old->path, new->path);
        const BundleEntry *before = order <= 0 ? old : NULL, *after = order >= 0 ? new : NULL;
        i += order <= 0;
        j += order >= 0;
        bool is_directory = (before ? before : after)->type == BUNDLE_DIRECTORY &&
                            (!before || !after || before->type == after->type);
        if (is_directory || is_same(before, after))
            continue;
        tell_file(printer, before, after);
        count++;
    }
    return count;
}

/* --- what a host would have */

static bool tell_host(Printer *printer, const HubLink *link, const Bundle *from, const Bundle *to,
                      const Arguments *arguments, GError **error) {
    g_auto(DeployInputs) inputs = { 0 };
    g_autoptr(Value) plan =
        deploy_inputs_read(&inputs, arguments, error)
            ? deploy_plan_between(link, from, to, arguments->host, &inputs, printer, error)
            : NULL;
    if (!plan)
        return false;
    if (printer_is_json(printer))
        printer_json(printer, "plan", hub_copy(plan));
    else
        deploy_plan_print(printer, plan);
    return true;
}

bool deploy_diff(Printer *printer, const HubLink *link, const char *from, const char *to,
                 const Arguments *arguments, GError **error) {
    g_autoptr(Bundle) before = fetch(link, from, error);
    g_autoptr(Bundle) after = before ? fetch(link, to, error) : NULL;
    if (!after)
        return false;
    if (arguments->host)
        return tell_host(printer, link, before, after, arguments, error);
    if (tell_files(printer, before, after) == 0 && !printer_is_json(printer))
        printer_line(printer, STYLE_PLAIN, "no file differs");
    return true;
}
