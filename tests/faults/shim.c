/* Fails, or ends the process at, the n-th system call that touches a file below a folder.
 *
 * Loaded with LD_PRELOAD. A process is left alone until it calls faults_arm(). Calls are counted over all classes that
 * the mask names; every one of them is written to the log, if there is one, as "class path".
 * Only what goes through libc's symbols is seen: Python, Arrow, safetensors and tokenizers do, stdio's own buffers do not
 * (fwrite is counted instead).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CLASSES "open-write", "open-read", "list", "read", "write", "sync", "rename", "mkdir", "unlink", "chmod", \
                "allocate", "map", "close", "stat", "lock", "link"
enum { OPEN_WRITE, OPEN_READ, LIST, READ, WRITE, SYNC, RENAME, MKDIR, UNLINK, CHMOD, ALLOCATE, MAP, CLOSE, STAT, LOCK, LINK };
enum { COUNT, FAIL, FAIL_FROM_HERE, KILL_BEFORE, KILL_AFTER };
enum { PASS, FAILS, KILLS_AFTER };

static const char *names[] = {CLASSES};
static char prefix[4096];
static size_t prefix_length;
static volatile int armed;
static unsigned mask;
static long target, counted;
static int action, error_number, log_handle = -1;

EXPORT void faults_arm(const char *folder, unsigned classes, long at, int what, int error, const char *log) {
    strncpy(prefix, folder, sizeof prefix - 1);
    prefix_length = strlen(prefix);
    mask = classes, target = at, action = what, error_number = error, counted = 0;
    log_handle = log == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    armed = 1;
}

EXPORT long faults_counted(void) { return counted; }

static void end(void) {
    for (;;) syscall(SYS_kill, (int)syscall(SYS_getpid), SIGKILL);
}

static int visit(int class, const char *path) {
    if (!armed || !(mask & (1u << class)) || strncmp(path, prefix, prefix_length)) return PASS;
    long number = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    if (log_handle >= 0) {
        char line[4400];
        int length = snprintf(line, sizeof line, "%s %s\n", names[class], path);
        syscall(SYS_write, log_handle, line, (size_t)length);
    }
    if (action == COUNT || number < target || (number > target && action != FAIL_FROM_HERE)) return PASS;
    if (action == KILL_BEFORE) end();
    if (action == KILL_AFTER) return KILLS_AFTER;
    errno = error_number;
    return FAILS;
}

/* The path behind a handle, or behind a name relative to one; empty where there is none. */
static const char *behind(int handle, const char *name, char *buffer, size_t size) {
    if (name != NULL && name[0] == '/') return name;
    char link[64];
    ssize_t length;
    if (handle == AT_FDCWD) strcpy(link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, size - 1);
    if (length < 0) length = 0;
    buffer[length] = 0;
    if (name != NULL && name[0]) snprintf(buffer + length, size - (size_t)length, "/%s", name);
    return buffer;
}

static int visit_at(int class, int handle, const char *name) {
    if (!armed || !(mask & (1u << class))) return PASS;
    int before = errno;
    char buffer[8192];
    int state = visit(class, behind(handle, name, buffer, sizeof buffer));
    if (state != FAILS) errno = before;
    return state;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) real = dlsym(RTLD_NEXT, name)
#define GUARDED(type, class, handle, name, failure, call) \
    int state = visit_at(class, handle, name); \
    if (state == FAILS) return failure; \
    type result = call; \
    if (state == KILLS_AFTER) end(); \
    return result

#define OPENING(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC) ? OPEN_WRITE : (flags) & O_DIRECTORY ? LIST : OPEN_READ)
#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }

EXPORT int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    REAL(int, "open", const char *, int, ...);
    GUARDED(int, OPENING(flags), AT_FDCWD, path, -1, real(path, flags, mode));
}
EXPORT int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    REAL(int, "open64", const char *, int, ...);
    GUARDED(int, OPENING(flags), AT_FDCWD, path, -1, real(path, flags, mode));
}
EXPORT int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    REAL(int, "openat", int, const char *, int, ...);
    GUARDED(int, OPENING(flags), folder, path, -1, real(folder, path, flags, mode));
}
EXPORT int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    REAL(int, "openat64", int, const char *, int, ...);
    GUARDED(int, OPENING(flags), folder, path, -1, real(folder, path, flags, mode));
}
EXPORT FILE *fopen(const char *path, const char *how) {
    REAL(FILE *, "fopen", const char *, const char *);
    GUARDED(FILE *, how[0] == 'r' && strchr(how, '+') == NULL ? OPEN_READ : OPEN_WRITE, AT_FDCWD, path, NULL, real(path, how));
}
EXPORT FILE *fopen64(const char *path, const char *how) {
    REAL(FILE *, "fopen64", const char *, const char *);
    GUARDED(FILE *, how[0] == 'r' && strchr(how, '+') == NULL ? OPEN_READ : OPEN_WRITE, AT_FDCWD, path, NULL, real(path, how));
}
EXPORT DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", const char *);
    GUARDED(DIR *, LIST, AT_FDCWD, path, NULL, real(path));
}
EXPORT ssize_t read(int handle, void *bytes, size_t size) {
    REAL(ssize_t, "read", int, void *, size_t);
    GUARDED(ssize_t, READ, handle, NULL, -1, real(handle, bytes, size));
}
EXPORT ssize_t pread(int handle, void *bytes, size_t size, off_t at) {
    REAL(ssize_t, "pread", int, void *, size_t, off_t);
    GUARDED(ssize_t, READ, handle, NULL, -1, real(handle, bytes, size, at));
}
EXPORT ssize_t pread64(int handle, void *bytes, size_t size, off64_t at) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    GUARDED(ssize_t, READ, handle, NULL, -1, real(handle, bytes, size, at));
}
/* A process that is ended in a write has written half of it. */
EXPORT ssize_t write(int handle, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int state = visit_at(WRITE, handle, NULL);
    if (state == FAILS) return -1;
    ssize_t result = real(handle, bytes, state == KILLS_AFTER ? (size + 1) / 2 : size);
    if (state == KILLS_AFTER) end();
    return result;
}
EXPORT ssize_t pwrite(int handle, const void *bytes, size_t size, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    GUARDED(ssize_t, WRITE, handle, NULL, -1, real(handle, bytes, state == KILLS_AFTER ? (size + 1) / 2 : size, at));
}
EXPORT ssize_t pwrite64(int handle, const void *bytes, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    GUARDED(ssize_t, WRITE, handle, NULL, -1, real(handle, bytes, state == KILLS_AFTER ? (size + 1) / 2 : size, at));
}
EXPORT ssize_t writev(int handle, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    GUARDED(ssize_t, WRITE, handle, NULL, -1, real(handle, parts, count));
}
EXPORT size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
    REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    GUARDED(size_t, WRITE, fileno(stream), NULL, 0, real(bytes, size, count, stream));
}
EXPORT ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    GUARDED(ssize_t, WRITE, to, NULL, -1, real(to, from, at, size));
}
EXPORT ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    GUARDED(ssize_t, WRITE, to, NULL, -1, real(from, from_at, to, to_at, size, flags));
}
/* The disk is spared: what a power cut would take is not tried here. */
EXPORT int fsync(int handle) {
    REAL(int, "fsync", int);
    GUARDED(int, SYNC, handle, NULL, -1, armed ? 0 : real(handle));
}
EXPORT int fdatasync(int handle) {
    REAL(int, "fdatasync", int);
    GUARDED(int, SYNC, handle, NULL, -1, armed ? 0 : real(handle));
}
EXPORT int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    GUARDED(int, RENAME, AT_FDCWD, to, -1, real(from, to));
}
EXPORT int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    GUARDED(int, RENAME, to_folder, to, -1, real(from_folder, from, to_folder, to));
}
EXPORT int link(const char *from, const char *to) {
    REAL(int, "link", const char *, const char *);
    GUARDED(int, LINK, AT_FDCWD, to, -1, real(from, to));
}
EXPORT int symlink(const char *from, const char *to) {
    REAL(int, "symlink", const char *, const char *);
    GUARDED(int, LINK, AT_FDCWD, to, -1, real(from, to));
}
EXPORT int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    GUARDED(int, MKDIR, AT_FDCWD, path, -1, real(path, mode));
}
EXPORT int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    GUARDED(int, MKDIR, folder, path, -1, real(folder, path, mode));
}
EXPORT int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    GUARDED(int, UNLINK, AT_FDCWD, path, -1, real(path));
}
EXPORT int unlinkat(int folder, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    GUARDED(int, UNLINK, folder, path, -1, real(folder, path, flags));
}
EXPORT int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    GUARDED(int, UNLINK, AT_FDCWD, path, -1, real(path));
}
EXPORT int chmod(const char *path, mode_t mode) {
    REAL(int, "chmod", const char *, mode_t);
    GUARDED(int, CHMOD, AT_FDCWD, path, -1, real(path, mode));
}
EXPORT int fchmod(int handle, mode_t mode) {
    REAL(int, "fchmod", int, mode_t);
    GUARDED(int, CHMOD, handle, NULL, -1, real(handle, mode));
}
EXPORT int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    REAL(int, "fchmodat", int, const char *, mode_t, int);
    GUARDED(int, CHMOD, folder, path, -1, real(folder, path, mode, flags));
}
EXPORT int ftruncate(int handle, off_t size) {
    REAL(int, "ftruncate", int, off_t);
    GUARDED(int, ALLOCATE, handle, NULL, -1, real(handle, size));
}
EXPORT int ftruncate64(int handle, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    GUARDED(int, ALLOCATE, handle, NULL, -1, real(handle, size));
}
/* This one returns its error. */
EXPORT int posix_fallocate64(int handle, off64_t at, off64_t size) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    GUARDED(int, ALLOCATE, handle, NULL, error_number, real(handle, at, size));
}
EXPORT int posix_fallocate(int handle, off_t at, off_t size) {
    REAL(int, "posix_fallocate", int, off_t, off_t);
    GUARDED(int, ALLOCATE, handle, NULL, error_number, real(handle, at, size));
}
EXPORT void *mmap(void *address, size_t size, int protection, int flags, int handle, off_t at) {
    REAL(void *, "mmap", void *, size_t, int, int, int, off_t);
    if (handle < 0) return real(address, size, protection, flags, handle, at);
    GUARDED(void *, MAP, handle, NULL, MAP_FAILED, real(address, size, protection, flags, handle, at));
}
EXPORT void *mmap64(void *address, size_t size, int protection, int flags, int handle, off64_t at) {
    REAL(void *, "mmap64", void *, size_t, int, int, int, off64_t);
    if (handle < 0) return real(address, size, protection, flags, handle, at);
    GUARDED(void *, MAP, handle, NULL, MAP_FAILED, real(address, size, protection, flags, handle, at));
}
/* A handle is gone even where closing it fails. */
EXPORT int close(int handle) {
    REAL(int, "close", int);
    int state = visit_at(CLOSE, handle, NULL), error = errno;
    int result = real(handle);
    if (state == KILLS_AFTER) end();
    if (state != FAILS) return result;
    errno = error;
    return -1;
}
EXPORT int stat(const char *path, struct stat *into) {
    REAL(int, "stat", const char *, struct stat *);
    GUARDED(int, STAT, AT_FDCWD, path, -1, real(path, into));
}
EXPORT int stat64(const char *path, struct stat64 *into) {
    REAL(int, "stat64", const char *, struct stat64 *);
    GUARDED(int, STAT, AT_FDCWD, path, -1, real(path, into));
}
EXPORT int lstat64(const char *path, struct stat64 *into) {
    REAL(int, "lstat64", const char *, struct stat64 *);
    GUARDED(int, STAT, AT_FDCWD, path, -1, real(path, into));
}
EXPORT int fstatat64(int folder, const char *path, struct stat64 *into, int flags) {
    REAL(int, "fstatat64", int, const char *, struct stat64 *, int);
    GUARDED(int, STAT, folder, path, -1, real(folder, path, into, flags));
}
EXPORT int flock(int handle, int operation) {
    REAL(int, "flock", int, int);
    GUARDED(int, LOCK, handle, NULL, -1, real(handle, operation));
}
