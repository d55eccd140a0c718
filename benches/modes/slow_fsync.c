/* Each fsync and fdatasync takes SLOW_FSYNC_US microseconds more: a slower disk, by LD_PRELOAD.
 * cc -shared -fPIC -o slow_fsync.so slow_fsync.c */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void wait_more(void)
{
    const char *text = getenv("SLOW_FSYNC_US");
    long us = text ? atol(text) : 0;
    struct timespec left = { us / 1000000, us % 1000000 * 1000 };
    int kept = errno;
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    errno = kept;
}

static int slowly(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    wait_more();
    return result;
}

int fsync(int fd)
{
    return slowly("fsync", fd);
}

int fdatasync(int fd)
{
    return slowly("fdatasync", fd);
}
