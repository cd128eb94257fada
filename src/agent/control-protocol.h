#pragma once
/* What is said over the agent's socket (control.h), apart from the socket. */
#include "engine/engine.h"

/* Appends the answer to a request; it always ends with an end or an error. more: a map of further
 * members of the summary, or NULL. */
void control_answer(const Engine *engine, const Value *more, const char *text, size_t size,
                    GString *answer);

/* The lines of an answer without its end, as Values. STEAD_ERROR_REFUSED: the agent's error. */
GPtrArray *control_parse_answer(const char *answer, GError **error);
