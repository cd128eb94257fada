#pragma once
/* stead agent join: makes this machine a member of a fleet. */
#include "cli/command.h"
#include "pki/pki.h"

/* Below the state directory: key.pem (made here, never sent), certificate.pem, ca.pem, url. */
#define JOIN_DIRECTORY "hub"

extern const Option option_ca_fingerprint;

char *join_directory(const Arguments *arguments); /* caller frees */
int agent_join(const Arguments *arguments, const char *url);

/* The authority of whoever answers at url, PEM: anybody may give us any certificate, it is the
 * fingerprint that makes it the right one. Caller frees. */
char *join_fetch_authority(const char *url, const char *fingerprint, GError **error);
/* What the hub answered is a certificate for our key. */
bool join_check_certificate(const char *pem, const PkiKey *key, GError **error);
/* Durable, whole or not at all. */
bool join_write(const char *directory, const char *name, const char *text, GError **error);
