/* See json_machine.h. */
#include "base/json_machine.h"

#include <sys/utsname.h>
#include <time.h>

void tdbg_json_machine(struct tdbg_json *json)
{
    char when[32];
    struct utsname system = {0};
    struct tm utc;
    const time_t now = time(NULL);
    uname(&system);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    tdbg_json_string(json, "time", when);
    tdbg_json_string(json, "host", system.nodename);
    tdbg_json_string(json, "system", system.sysname);
    tdbg_json_string(json, "release", system.release);
    tdbg_json_string(json, "machine", system.machine);
}
