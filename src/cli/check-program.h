#pragma once
/* `stead kinds --check`: tries a program that speaks for a kind out, for who writes one. */
#include "cli/printer.h"

/* Prints what is right and what is wrong; the exit code. */
int check_program(Printer *printer, const char *path);
