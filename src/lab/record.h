#pragma once
/*
 * The record of a lab: DATA/labs/NAME/record.json. It is durable before anything else of the lab
 * is there, and names the process to end, so that whatever is left after a crash is found by it.
 */
#include "lab/lab.h"
#include "lab/process.h"

#define LAB_DATA "/var/lib/stead/lab"

typedef struct {
    char *data;      /* the absolute directory of all labs and bases */
    char *directory; /* DATA/labs/NAME */
    char *name;
    char *boot;       /* process_boot() */
    bool is_up;       /* else it is being set up by owner */
    ProcessId owner;  /* the command that sets it up */
    ProcessId keeper; /* no number: not started yet */
    Lab *lab;
} Record;

void record_free(Record *record); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Record, record_free)

/* Held by who makes or removes a lab: -1 with error. Closing it lets go. */
int record_lock(const char *data, GError **error);

/* Claims the name: EXISTS when it is taken. Takes the lock itself. */
Record *record_create(const char *data, Lab *lab, GError **error);
bool record_write(const Record *record, GError **error);
/* NOT_FOUND: there is no such lab. DAMAGED: there is a directory, but what is in it is no record:
 * *ret_record then says where it is, without a lab. */
bool record_read(const char *data, const char *name, Record **ret_record, GError **error);
/* Names of the directories of labs, sorted; of char *. */
GPtrArray *record_names(const char *data);
/* Set up and kept, or being set up. False: what is there is left over. */
bool record_is_live(const Record *record);
