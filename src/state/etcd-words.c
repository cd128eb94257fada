#include "state/etcd-words.h"

const EtcdField etcd_fields[] = {
    [STORE_VERSION] = { "VERSION", "version" },
    [STORE_CREATE_REVISION] = { "CREATE", "create_revision" },
    [STORE_MOD_REVISION] = { "MOD", "mod_revision" },
    [STORE_LEASE] = { "LEASE", "lease" },
    [STORE_VALUE] = { "VALUE", "value" },
};

const char *const etcd_relations[] = {
    [STORE_EQUAL] = "EQUAL",
    [STORE_NOT_EQUAL] = "NOT_EQUAL",
    [STORE_LESS] = "LESS",
    [STORE_GREATER] = "GREATER",
};

const char *const etcd_requests[] = {
    [OP_PUT] = "request_put",
    [OP_DELETE] = "request_delete_range",
    [OP_RANGE] = "request_range",
};

const char *const etcd_responses[] = {
    [OP_PUT] = "response_put",
    [OP_DELETE] = "response_delete_range",
    [OP_RANGE] = "response_range",
};

const char *const etcd_paths[] = {
    [CALL_RANGE] = "kv/range",        [CALL_TXN] = "kv/txn",
    [CALL_COMPACT] = "kv/compaction", [CALL_GRANT] = "lease/grant",
    [CALL_KEEP] = "lease/keepalive",  [CALL_REVOKE] = "lease/revoke",
    [CALL_LOOK] = "lease/timetolive",
};

const char *const etcd_op_paths[] = {
    [OP_PUT] = "kv/put",
    [OP_DELETE] = "kv/deleterange",
    [OP_RANGE] = NULL,
};

/* --- text, because a value of a megabyte is copied often enough */

static void begin_member(GString *json, const char *name) {
    char last = json->len > 0 ? json->str[json->len - 1] : '{';
    if (last != '{' && last != '[')
        g_string_append_c(json, ',');
    g_string_append_c(json, '"');
    g_string_append(json, name);
    g_string_append(json, "\":");
}

void etcd_add_text(GString *json, const char *name, const char *text) {
    begin_member(json, name);
    g_string_append_c(json, '"');
    g_string_append(json, text);
    g_string_append_c(json, '"');
}

void etcd_add_number(GString *json, const char *name, int64_t number) {
    char text[24];
    (void)g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, number);
    if (number != 0)
        etcd_add_text(json, name, text);
}

void etcd_add_flag(GString *json, const char *name, bool flag) {
    if (!flag)
        return;
    begin_member(json, name);
    g_string_append(json, "true");
}

void etcd_add_bytes(GString *json, const char *name, GBytes *bytes) {
    gsize size;
    const guchar *data = g_bytes_get_data(bytes, &size);
    gint state = 0, save = 0;
    begin_member(json, name);
    g_string_append_c(json, '"');
    gsize start = json->len;
    g_string_set_size(json, start + (size / 3 + 1) * 4 + 4);
    gsize written = g_base64_encode_step(data, size, FALSE, json->str + start, &state, &save);
    written += g_base64_encode_close(FALSE, json->str + start + written, &state, &save);
    g_string_set_size(json, start + written);
    g_string_append_c(json, '"');
}
