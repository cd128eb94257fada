#include "kinds/program-message.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"

#define EXCERPT 60 /* bytes of a wrong line that are shown */

void message_clear(Message *message) {
    g_clear_pointer(&message->value, value_unref);
}

static bool refuse(GError **error, const char *line, size_t size, uint64_t number,
                   const char *reason) {
    g_autoptr(Value) start = value_new_bytes(line, MIN(size, EXCERPT));
    g_autofree char *shown = value_show(start, 0);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "line %" G_GUINT64_FORMAT " of its output is no message: %s: %s%s; what is not for "
                "stead belongs on standard error",
                number, reason, shown, size > EXCERPT ? " ..." : "");
    return false;
}

/* Whether member is there and a number that a request may have. */
static bool take_id(const Value *map, const char *member, uint64_t *ret_id) {
    int64_t id = value_map_int(map, member, 0);
    *ret_id = id > 0 ? (uint64_t)id : 0;
    return id > 0;
}

static const char *classify(Message *message) {
    const Value *map = message->value;
    if (value_type(map) != VALUE_MAP)
        return "it is not a JSON object";
    if (value_has_unknown(map) || value_is_secret(map))
        return "\"$unknown\" and \"$secret\" mean something else; write a first \"$\" of a key "
               "twice";
    const Value *log = value_map_get(map, "log");
    if (log) {
        message->type = MESSAGE_LOG;
        (void)take_id(map, "id", &message->id); /* may be about no request */
        return value_type(log) == VALUE_STRING ? NULL : "\"log\" is not text";
    }
    if (value_map_get(map, "changed")) {
        message->type = MESSAGE_CHANGED;
        return take_id(map, "changed", &message->id) ? NULL
                                                     : "\"changed\" is not the id of a request";
    }
    message->type = MESSAGE_ANSWER;
    return take_id(map, "id", &message->id) ? NULL : "it has no \"id\" of a request";
}

bool message_read(const char *line, size_t size, uint64_t number, Message *ret_message,
                  GError **error) {
    g_autoptr(GError) problem = NULL;
    g_auto(Message) message = { .value = json_parse(line, size, "it", &problem) };
    if (!message.value) {
        /* "it:1:7: reason": the line is ours, the column is of use */
        const char *reason = problem->message;
        if (g_str_has_prefix(reason, "it:1:"))
            reason += strlen("it:1:");
        g_autofree char *text = g_strconcat("column ", reason, NULL);
        return refuse(error, line, size, number, text);
    }
    const char *reason = classify(&message);
    if (reason)
        return refuse(error, line, size, number, reason);
    *ret_message = message;
    message.value = NULL;
    return true;
}

bool answer_is_error(const Value *answer, GError **error) {
    const Value *said = value_map_get(answer, "error");
    if (!said || value_type(said) == VALUE_NIL)
        return false;
    const char *remedy = value_map_string(answer, "remedy", NULL);
    bool missing = value_map_bool(answer, "missing", false);
    g_autofree char *text = value_type(said) == VALUE_STRING && value_string_size(said) > 0
                                ? g_strdup(value_string(said))
                                : g_strdup("its program says that it failed, and not why");
    g_strchomp(text);
    g_set_error(error, STEAD_ERROR, missing ? STEAD_ERROR_NOT_FOUND : STEAD_ERROR_FAILED, "%s%s%s",
                text, remedy ? "; " : "", remedy ? remedy : "");
    return true;
}

GString *request_line(uint64_t id, const char *request, const Value *members) {
    GString *line = g_string_new(NULL);
    g_string_append_printf(line, "{\"id\":%" G_GUINT64_FORMAT ",\"request\":\"%s\"", id, request);
    if (members && value_size(members) > 0) {
        g_string_append_c(line, ',');
        gsize at = line->len;
        json_append(line, members, JSON_REVEAL);
        g_string_erase(line, (gssize)at, 1); /* its brace */
    } else {
        g_string_append_c(line, '}');
    }
    g_string_append_c(line, '\n');
    return line;
}
