#pragma once
/*
 * What people and programs see. Results go to stdout, logs and errors to stderr. With --json every
 * event is one object a line with the members `event` and `time`; see doc/json.md.
 */
#include "cli/command.h"
#include "engine/engine.h"
#include "engine/plan.h"

typedef struct Printer Printer;

typedef enum { STYLE_PLAIN, STYLE_GOOD, STYLE_CHANGE, STYLE_BAD, STYLE_DIM, STYLE_STRONG } Style;

Printer *printer_new(const Arguments *arguments);
void printer_free(Printer *printer); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Printer, printer_free)

/* From here on lines and events go to stderr, with priorities where the journal reads it. */
void printer_be_log(Printer *printer, const Arguments *arguments);
bool printer_is_json(const Printer *printer);
bool printer_is_quiet(const Printer *printer);
bool printer_is_verbose(const Printer *printer);
/* One line on stdout, or in the log. */
void printer_line(Printer *printer, Style style, const char *format, ...) G_GNUC_PRINTF(3, 4);
void printer_log(Printer *printer, int priority, Style style, const char *format, ...)
    G_GNUC_PRINTF(4, 5); /* ... of a priority as in syslog.h */
/* Text in the middle of a line: style codes or "" when there is no colour. */
const char *printer_style(const Printer *printer, Style style);
/* A JSON object on one line; takes ownership. "event" is set from name, "time" is added. */
void printer_json(Printer *printer, const char *name, Value *map);

void printer_error(Printer *printer, const GError *error); /* "stead: ..." on stderr */
void printer_warning(Printer *printer, const char *format, ...) G_GNUC_PRINTF(2, 3);
void printer_problems(Printer *printer, const GPtrArray *problems); /* of GError */
/* A line that another machine said, and an error or warning of it, on stderr. */
void printer_host_line(Printer *printer, const char *host, const char *line);
void printer_host_message(Printer *printer, const char *host, const char *text);
bool printer_shows_progress(const Printer *printer);
void printer_progress(Printer *printer, const char *format, ...)
    G_GNUC_PRINTF(2, 3); /* terminal only, replaced */

/* Engine events as they come (a listener), and plans. */
/* Failures begin with the line of the configuration that declares what failed. */
void printer_show_places(Printer *printer);
void printer_event(Printer *printer, const EngineEvent *event);
/* One resource of engine_visit_status() that could not be worked on. */
void printer_blocked(Printer *printer, const Value *status);
void printer_plan(Printer *printer, const Plan *plan);
void printer_summary(Printer *printer, const EngineSummary *summary, uint64_t duration_us);
