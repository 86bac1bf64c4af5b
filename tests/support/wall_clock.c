/* A wall clock that is WALL_CLOCK_OFFSET_S seconds off, as that of a machine whose battery is empty. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    const char *offset_s = getenv("WALL_CLOCK_OFFSET_S");
    int result = real(clock, time);

    if (result == 0 && offset_s != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += atoll(offset_s);
    return result;
}
