/* Where and when a program runs, for the environment that a trace records. */
#ifndef TDBG_BASE_JSON_MACHINE_H
#define TDBG_BASE_JSON_MACHINE_H

#include "base/json.h"

/* Adds "time" (UTC, ISO 8601), "host", "system", "release" and "machine" to the open object. */
void tdbg_json_machine(struct tdbg_json *json);

#endif
