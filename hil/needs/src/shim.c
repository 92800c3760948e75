/* Makes chosen calls of the C library fail, be cut short, be forgotten or end the process, and moves the wall clock.
 * Loaded with LD_PRELOAD into a program under test, which was not built for it. What it does stands in a file that the
 * test writes and this library maps (AID_SHIM names it); shim.rs has the same layout. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic uint64_t loaded; /* set by this library */
    _Atomic int64_t clock_ms; /* added to the wall clock */
    _Atomic uint64_t armed;
    uint64_t calls; /* bits of enum call */
    uint64_t effect; /* enum effect */
    uint64_t error; /* errno */
    uint64_t first; /* the first matching call that is affected, from 1 */
    uint64_t count; /* how many are */
    _Atomic uint64_t seen; /* matching calls since it was armed */
    _Atomic uint64_t hit; /* those that were affected */
    char path[256]; /* a part of the file's path */
};

enum call { READ = 1, WRITE = 2, SYNC = 4, TRUNCATE = 8, OPEN = 16, MAP = 32 };
enum effect { FAIL, SHORT, SHORT_THEN_FAIL, LOSE, KILL };

static struct control *control;

__attribute__((constructor)) static void load(void)
{
    const char *name = getenv("AID_SHIM");
    int fd = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    void *at = (void *)syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (at == MAP_FAILED)
        return;
    control = at;
    control->loaded = 1;
}

static int is_meant(int fd, const char *path)
{
    char link[40], target[4096];
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
        if (length < 0)
            return 0;
        target[length] = 0;
        path = target;
    }
    return strstr(path, control->path) != NULL;
}

/* Whether a call is affected: then it yields which of the affected ones it is, from 1. */
static uint64_t affected(enum call call, int fd, const char *path)
{
    int saved = errno;
    uint64_t which = 0;
    if (control && control->armed && (control->calls & call) && is_meant(fd, path)) {
        uint64_t n = ++control->seen;
        if (n >= control->first && n - control->first < control->count)
            which = ++control->hit;
    }
    errno = saved;
    return which;
}

static _Noreturn void end(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;)
        pause();
}

static int fail(void)
{
    errno = (int)control->error;
    return -1;
}

/* For calls that can't be done by halves: whether it must not be made. */
static int refused(enum call call, int fd, const char *path)
{
    if (!affected(call, fd, path))
        return 0;
    if (control->effect == KILL)
        end();
    return control->effect == FAIL || control->effect == SHORT_THEN_FAIL || control->effect == LOSE;
}

/* What was written and is on no disk yet: a kernel that fails to write pages back may drop them. */
struct written {
    struct written *before;
    dev_t device;
    ino_t file;
    off_t at, size; /* where, and how large the file was */
    size_t length;
    char old[];
};
static struct written *unsynced;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void remember(int fd, off_t at, size_t length)
{
    struct stat stat;
    if (!control || !control->armed || control->effect != LOSE || !is_meant(fd, NULL) || fstat(fd, &stat) || at < 0)
        return;
    struct written *one = malloc(sizeof *one + length);
    if (!one)
        abort();
    memset(one->old, 0, length);
    syscall(SYS_pread64, fd, one->old, length, at);
    one->device = stat.st_dev;
    one->file = stat.st_ino;
    one->at = at;
    one->size = stat.st_size;
    one->length = length;
    pthread_mutex_lock(&mutex);
    one->before = unsynced;
    unsynced = one;
    pthread_mutex_unlock(&mutex);
}

/* The writes of a file are on disk, or lost. */
static void settle(int fd, int lost)
{
    struct stat stat;
    if (!unsynced || fstat(fd, &stat))
        return;
    pthread_mutex_lock(&mutex);
    for (struct written **at = &unsynced; *at;) {
        struct written *one = *at;
        if (one->device != stat.st_dev || one->file != stat.st_ino) {
            at = &one->before;
            continue;
        }
        if (lost) {
            syscall(SYS_pwrite64, fd, one->old, one->length, one->at);
            if (one->at + (off_t)one->length > one->size)
                syscall(SYS_ftruncate, fd, one->size);
        }
        *at = one->before;
        free(one);
    }
    pthread_mutex_unlock(&mutex);
}

static ssize_t write_some(int fd, const void *bytes, size_t length, off_t at)
{
    uint64_t which = affected(WRITE, fd, NULL);
    uint64_t effect = which ? control->effect : LOSE;
    if (effect == FAIL || (effect == SHORT_THEN_FAIL && which % 2 == 0))
        return fail();
    if (which && length > 1 && effect != LOSE)
        length /= 2;
    int saved = errno;
    remember(fd, at < 0 ? (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) : at, length);
    errno = saved;
    ssize_t done = at < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, at);
    if (effect == KILL)
        end();
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return write_some(fd, bytes, length, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return write_some(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    return write_some(fd, bytes, length, at);
}

ssize_t read(int fd, void *bytes, size_t length)
{
    return refused(READ, fd, NULL) ? fail() : syscall(SYS_read, fd, bytes, length);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t at)
{
    return refused(READ, fd, NULL) ? fail() : syscall(SYS_pread64, fd, bytes, length, at);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t at)
{
    return pread(fd, bytes, length, at);
}

static int sync_file(int fd, long number)
{
    if (refused(SYNC, fd, NULL)) {
        settle(fd, control->effect == LOSE);
        return fail();
    }
    int done = (int)syscall(number, fd);
    settle(fd, 0);
    return done;
}

int fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t length)
{
    if (refused(TRUNCATE, fd, NULL))
        return fail();
    settle(fd, 0);
    return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

static int open_file(const char *path, int flags, mode_t mode)
{
    return refused(OPEN, -1, path) ? fail() : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at)
{
    if (fd >= 0 && refused(MAP, fd, NULL)) {
        fail();
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, at);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at)
{
    return mmap(address, length, protection, flags, fd, at);
}

static void move(int64_t *seconds, int64_t *parts, int64_t per_second)
{
    if (!control)
        return;
    int64_t ms = control->clock_ms;
    *seconds += ms / 1000;
    *parts += ms % 1000 * (per_second / 1000);
    if (*parts < 0) {
        *parts += per_second;
        *seconds -= 1;
    } else if (*parts >= per_second) {
        *parts -= per_second;
        *seconds += 1;
    }
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int done = (int)syscall(SYS_clock_gettime, clock, time);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t seconds = time->tv_sec, parts = time->tv_nsec;
        move(&seconds, &parts, 1000000000);
        time->tv_sec = seconds;
        time->tv_nsec = parts;
    }
    return done;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
