/* What apt-get, apt-cache and dpkg print, and what it means. */
#include <string.h>

#include "host/apt.h"

#define SAID_LINES 3 /* of a script, before it failed */

/* The text between two marks on one line, or NULL. */
static char *between(const char *line, const char *before, const char *after) {
    const char *start = strstr(line, before);
    if (start == NULL)
        return NULL;
    start += strlen(before);
    const char *end = *after != '\0' ? strstr(start, after) : start + strlen(start);
    return end != NULL ? g_strndup(start, (size_t)(end - start)) : NULL;
}

/* --- effects */

/* apt leaves out the machine's own architecture. */
static bool is_asked_for(const char *name, bool goes, const PackageAction *actions,
                         size_t n_actions) {
    for (size_t i = 0; i < n_actions; i++) {
        bool removes = actions[i].verb == PACKAGE_REMOVE || actions[i].verb == PACKAGE_PURGE;
        if (removes != goes)
            continue;
        const char *asked = actions[i].name;
        size_t bare = strcspn(asked, ":");
        if (strcmp(name, asked) == 0 || (strlen(name) == bare && strncmp(name, asked, bare) == 0))
            return true;
    }
    return false;
}

/* "Inst libx [1.0] (1.1 Debian:12 [amd64])", "Remv app [1.0] [...]". */
static bool parse_effect(const char *line, PackageEffect *effect) {
    bool inst = g_str_has_prefix(line, "Inst ");
    if (!inst && !g_str_has_prefix(line, "Remv ") && !g_str_has_prefix(line, "Purg "))
        return false;
    const char *name = line + strlen("Inst "), *rest = name + strcspn(name, " ");
    bool has_old = g_str_has_prefix(rest, " [");
    if (rest == name)
        return false;
    effect->what = !inst ? PACKAGE_GOES : has_old ? PACKAGE_CHANGES : PACKAGE_COMES;
    effect->name = g_strndup(name, (size_t)(rest - name));
    const char *mark = inst ? " (" : " [";
    const char *version = strstr(rest, mark);
    if (version != NULL) {
        version += strlen(mark);
        effect->version = g_strndup(version, strcspn(version, " )]"));
    }
    return true;
}

void apt_parse_simulation(const char *output, const PackageAction *actions, size_t n_actions,
                          GPtrArray *effects) {
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        PackageEffect effect = { 0 };
        if (!parse_effect(*line, &effect))
            continue;
        if (!is_asked_for(effect.name, effect.what == PACKAGE_GOES, actions, n_actions))
            package_effects_add(effects, &effect);
        g_free(effect.name);
        g_free(effect.version);
    }
}

/* --- reasons */

static bool is_unknown_package(const char *line, char **ret_reason) {
    g_autofree char *name = between(line, "E: Unable to locate package ", "");
    if (name == NULL)
        return false;
    *ret_reason = g_strdup_printf("apt knows no package '%s' (check the name, or refresh its lists "
                                  "with: apt-get update)",
                                  g_strstrip(name));
    return true;
}

static bool is_without_candidate(const char *line, char **ret_reason) {
    g_autofree char *name = between(line, "E: Package '", "' has no installation candidate");
    if (name == NULL)
        return false;
    *ret_reason = g_strdup_printf("package '%s' is in no configured repository (it is virtual, "
                                  "obsolete or elsewhere)",
                                  name);
    return true;
}

static bool is_unknown_version(const char *line, char **ret_reason) {
    g_autofree char *version = between(line, "E: Version '", "' for '");
    g_autofree char *name = between(line, "' for '", "' was not found");
    if (version == NULL || name == NULL)
        return false;
    *ret_reason =
        g_strdup_printf("there is no version '%s' of package '%s' (see: apt-cache madison "
                        "%s)",
                        version, name, name);
    return true;
}

static bool is_held(const char *line, char **ret_reason) {
    if (!g_str_has_prefix(line, "E: Held packages were changed"))
        return false;
    *ret_reason = g_strdup("a package is held (see: apt-mark showhold)");
    return true;
}

/* dpkg says it in the middle of a line, apt at its end; what comes after it repeats it. */
static bool is_disk_full(const char *line, char **ret_reason) {
    bool space = strstr(line, "No space left on device") != NULL ||
                 strstr(line, "You don't have enough free space in") != NULL;
    if (!space)
        return false;
    const char *text = g_str_has_prefix(line, "E: ") ? line + strlen("E: ") : line;
    g_autofree char *said = g_strstrip(g_strdup(text));
    *ret_reason = g_strdup_printf("the disk is full (%s); make room: what was begun is finished by "
                                  "the next run",
                                  said);
    return true;
}

/* "E: Failed to fetch http://host/x  reason". The host is the part that the reader can check. */
static bool is_not_fetched(const char *line, char **ret_reason) {
    g_autofree char *uri = between(line, "Failed to fetch ", " ");
    if (uri == NULL || (*line != 'E' && *line != 'W'))
        return false;
    g_autofree char *why = g_strstrip(between(line, uri, ""));
    g_autofree char *host = between(uri, "://", "/");
    bool gone = strstr(why, "404") != NULL || strstr(why, "File not found") != NULL;
    const char *remedy = gone ? "the source does not have it" : "is it up, and the network?";
    *ret_reason = host != NULL && *host != '\0'
                      ? g_strdup_printf("fetch from '%s': %s (%s): %s", host, why, uri, remedy)
                      : g_strdup_printf("fetch '%s': %s: %s", uri, why, remedy);
    return true;
}

static bool is_not_signed(const char *line, char **ret_reason) {
    g_autofree char *source = between(line, "GPG error: ", ": ");
    g_autofree char *key = between(line, "NO_PUBKEY ", "");
    if (source != NULL && key != NULL) {
        key[strcspn(key, " ")] = '\0';
        *ret_reason = g_strdup_printf("the source '%s' is signed by the key %s, which is not the "
                                      "one that is trusted for it",
                                      source, key);
        return true;
    }
    g_autofree char *unsigned_source = between(line, "E: The repository '", "' is not signed");
    if (unsigned_source == NULL)
        return false;
    *ret_reason = g_strdup_printf("the source '%s' is not signed", unsigned_source);
    return true;
}

/* The names that follow a headline, indented. */
static char *list_after(char **lines, const char *headline) {
    GString *names = g_string_new(NULL);
    bool inside = false;
    for (; *lines != NULL; lines++) {
        if (inside && **lines != ' ')
            break;
        if (inside) {
            g_autofree char *stripped = g_strstrip(g_strdup(*lines));
            g_string_append_printf(names, "%s%s", names->len > 0 ? " " : "", stripped);
        }
        inside = inside || strstr(*lines, headline) != NULL;
    }
    return g_string_free(names, FALSE);
}

/* dpkg's own words about what it is doing. */
static bool is_progress(const char *line) {
    static const char *const words[] = { "Setting up ",       "Unpacking ", "Preparing to unpack ",
                                         "Removing ",         "Purging ",   "Processing triggers ",
                                         "(Reading database " };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_has_prefix(line, words[i]))
            return true;
    return false;
}

/* The last lines that a script printed before it failed; NULL: it said nothing. */
static char *last_words(char **first, char **failure) {
    char **from = failure;
    while (from > first && failure - from < SAID_LINES && !is_progress(from[-1]))
        from--;
    GString *text = g_string_new(NULL);
    for (; from < failure; from++) {
        g_autofree char *line = g_strstrip(g_strdup(*from));
        if (*line != '\0')
            g_string_append_printf(text, "%s%s", text->len > 0 ? " | " : "", line);
    }
    bool empty = text->len == 0;
    char *said = g_string_free(text, empty);
    return empty ? NULL : said;
}

/* What dpkg could not do says more than that it failed. What could not be done because of that
 * comes later. */
static bool is_dpkg_error(char **lines, char **ret_reason) {
    for (char **line = lines; *line != NULL; line++) {
        g_autofree char *name = between(*line, "dpkg: error processing package ", " (");
        if (name == NULL)
            name = between(*line, "dpkg: error processing archive ", " (");
        if (name == NULL)
            continue;
        g_autofree char *why = line[1] != NULL ? g_strstrip(g_strdup(line[1])) : g_strdup("");
        g_autofree char *said = strstr(why, "script") != NULL ? last_words(lines, line) : NULL;
        *ret_reason = said != NULL ? g_strdup_printf("'%s': %s; it said: %s", name, why, said)
                                   : g_strdup_printf("'%s': %s", name, why);
        return true;
    }
    return false;
}

static bool is_incomplete(const char *line, char **ret_reason) {
    g_autofree char *name = between(line, "E: The package ", APT_NO_ARCHIVE);
    if (name == NULL)
        return false;
    *ret_reason = g_strdup_printf("an interrupted dpkg left parts of '%s', and no source has it: "
                                  "bring its source back, or end it with 'dpkg "
                                  "--force-remove-reinstreq --remove %s'",
                                  name, name);
    return true;
}

static bool line_reason(const char *line, char **ret_reason) {
    return is_unknown_package(line, ret_reason) || is_without_candidate(line, ret_reason) ||
           is_unknown_version(line, ret_reason) || is_held(line, ret_reason) ||
           is_disk_full(line, ret_reason) || is_not_fetched(line, ret_reason) ||
           is_not_signed(line, ret_reason) || is_incomplete(line, ret_reason);
}

/* The first line that says "E:", or the last of all. */
static char *plain_reason(char **lines) {
    const char *last = "it gave no reason";
    for (; *lines != NULL; lines++) {
        if (g_str_has_prefix(*lines, "E: "))
            return g_strdup(*lines + strlen("E: "));
        if (**lines != '\0')
            last = *lines;
    }
    return g_strstrip(g_strdup(last));
}

char *apt_failure(const char *output) {
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    char *reason = NULL;
    for (char **line = lines; *line != NULL; line++) {
        if (line_reason(*line, &reason))
            return reason;
        if (g_str_has_prefix(*line, "E: Packages need to be removed but remove is disabled")) {
            g_autofree char *names = list_after(lines, "following packages will be REMOVED:");
            return g_strdup_printf("it would remove other packages (%s); if that is wanted, set "
                                   "force = true",
                                   names);
        }
        if (g_str_has_prefix(*line, "E: Unable to correct problems") ||
            g_str_has_prefix(*line, "E: Unmet dependencies")) {
            g_autofree char *unmet = list_after(lines, "have unmet dependencies:");
            return g_strdup_printf("dependencies cannot be met: %s",
                                   *unmet != '\0' ? unmet : *line + strlen("E: "));
        }
    }
    return is_dpkg_error(lines, &reason) ? reason : plain_reason(lines);
}

bool apt_wants_configure(const char *output) {
    return strstr(output, "dpkg was interrupted") != NULL;
}

bool apt_wants_repair(const char *output) {
    return strstr(output, "--fix-broken install") != NULL;
}

bool apt_wants_update(const char *output) {
    return strstr(output, "Failed to fetch ") != NULL &&
           (strstr(output, "  404  Not Found") != NULL ||
            strstr(output, "  File not found - ") != NULL ||
            strstr(output, "File has unexpected size") != NULL ||
            strstr(output, "Hash Sum mismatch") != NULL);
}

bool apt_wants_lock(const char *output) {
    return strstr(output, "E: Could not get lock ") != NULL ||
           strstr(output, "E: Unable to acquire the dpkg frontend lock") != NULL ||
           strstr(output, "dpkg frontend lock was locked by another process") != NULL;
}

bool apt_wants_cache(const char *output) {
    return (strstr(output, "E: Problem renaming the file ") != NULL &&
            strstr(output, "pkgcache.bin") != NULL) ||
           strstr(output, "E: Cache is out of sync") != NULL;
}

void apt_parse_policy(const char *output,
                      void (*visit)(void *data, const char *name, const char *candidate),
                      void *data) {
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    g_autofree char *name = NULL;
    for (char **line = lines; *line != NULL; line++) {
        size_t length = strlen(*line);
        if (length > 1 && (*line)[0] != ' ' && (*line)[length - 1] == ':') {
            g_free(name);
            name = g_strndup(*line, length - 1);
        } else if (name != NULL && g_str_has_prefix(*line, "  Candidate: ")) {
            const char *candidate = *line + strlen("  Candidate: ");
            bool none = *candidate == '\0' || strcmp(candidate, "(none)") == 0;
            visit(data, name, none ? NULL : candidate);
        }
    }
}
