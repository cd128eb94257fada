#pragma once
/* What a program that speaks for a kind says: one JSON object a line, from outside and so possibly
 * anything. doc/kinds-in-any-language.md is the protocol. */
#include <glib.h>

#include "base/value.h"

#define PROGRAM_PROTOCOL 1

/* Bytes of one line: the largest answer. */
#define LIMIT_PROGRAM_LINE (16u * 1024 * 1024)

typedef enum {
    MESSAGE_ANSWER,  /* {"id": 7, ...} */
    MESSAGE_LOG,     /* {"log": "text", "id": 7}: for people, about a request or not */
    MESSAGE_CHANGED, /* {"changed": 7}: something happened to what request 7 has it watch */
} MessageType;

typedef struct {
    MessageType type;
    uint64_t id; /* 0: of no request */
    Value *value;
} Message;

void message_clear(Message *message);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Message, message_clear)

/* Reads a line without its end. number: which line of the program's output it is, for errors, which
 * show the beginning of it. */
bool message_read(const char *line, size_t size, uint64_t number, Message *ret_message,
                  GError **error);

/* The error an answer reports, if it is one: true, and error is set. */
bool answer_is_error(const Value *answer, GError **error);

/* A request as a line with its end; "id" and "request" come first, the rest in the order of bytes,
 * without blanks. Secrets are in clear. members: a map, or NULL. */
GString *request_line(uint64_t id, const char *request, const Value *members);
