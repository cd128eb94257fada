#pragma once
/* Asking a hub from the command line, one question at a time. */
#include "base/value.h"
#include "cli/command.h"
#include "http/client.h"

#define HUB_DATA_DEFAULT "/var/lib/stead-hub"

#define HUB_UNREACHABLE hub_unreachable_quark() /* codes as those of STEAD_ERROR */
GQuark hub_unreachable_quark(void);

/* Whom to ask, and as whom. Texts are owned. */
typedef struct {
    char *url;
    char *ca;                /* PEM */
    char *token;             /* or NULL */
    char *certificate, *key; /* PEM; or NULL */
    bool unverified;
} HubLink;

/* From --hub, --ca and --token-file, their variables, and what the hub of --data left. */
bool hub_link_open(HubLink *link, const Arguments *arguments, GError **error);
void hub_link_clear(HubLink *link);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HubLink, hub_link_clear)

/* Asks and waits. What the hub refuses is STEAD_ERROR_REFUSED, with its hint, and _NOT_FOUND what
 * it does not have; the domain HUB_UNREACHABLE: it gave no answer. body may be NULL. */
Value *hub_call(const HubLink *link, const char *method, const char *path, const Value *body,
                GError **error);
/* PUT of bytes, and GET of them. */
Value *hub_send_bytes(const HubLink *link, const char *path, GBytes *body, GError **error);
GBytes *hub_fetch_bytes(const HubLink *link, const char *path, GError **error);
/* GET of all pages of a list: the members of name, one after the other. */
Value *hub_list(const HubLink *link, const char *path, const char *name, GError **error);

/* A map of its own, for printer_json(). */
Value *hub_copy(const Value *map);
/* The same of what has a time of its own, in units of so many microseconds: it becomes "at". */
Value *hub_copy_at(const Value *map, int64_t unit);

/* What a command ends with. */
int hub_exit_code(const GError *error);
