/*
 * The one file that people get: unpacks the tree that it carries into a folder of its own below the temporary folder,
 * and becomes the program in there. The process that was started is the program's, so signals, exit status, and what
 * systemd knows of it are the program's own.
 *
 * The folder goes when its last user goes. Whoever uses it holds a shared lock on it: this launcher, and what it
 * becomes (at_start.py). A second process waits for the exclusive lock, which it gets when all of them are gone,
 * however they went, and removes the folder. Should that one be killed too, the next start finds a folder without a
 * lock, and removes it.
 *
 * Linked statically, with the GNU C library or any other.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#define PREFIX "carpsidecar-unpacked-"
#define PROGRAM "carpsidecar"

/* A tar archive (POSIX ustar: files and folders with short names), compressed by zstd. */
__asm__(".section .rodata\n.balign 16\npayload:\n.incbin \"" PAYLOAD "\"\npayload_end:\n.previous\n");
extern const unsigned char payload[] __attribute__((visibility("hidden")));
extern const unsigned char payload_end[] __attribute__((visibility("hidden")));

static char *folder;

static void fail(const char *temporary, const char *why)
{
    fprintf(stderr,
            "%s: can't unpack into %s (%s): set TMPDIR to a folder that may be written to and run from, with %d MB free\n",
            program_invocation_short_name, temporary, why, UNPACKED_MB);
    exit(1);
}

/* The path in new memory, which a program that is about to become another one need not give back. */
static char *join(const char *parent, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", parent, name) < 0)
        fail(parent, strerror(ENOMEM));
    return path;
}

/* Where one is closed, the lock, or a socket of the program, would get its number, and with that log lines. */
static void open_standard_descriptors(void)
{
    int one;
    do
        one = open("/dev/null", O_RDWR);
    while (one >= 0 && one <= 2);
    close(one);
}

/* ---- the folder ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path) && errno != ENOENT;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether this is the root of a container whose users are not the machine's: there the machine's root is a stranger. */
static int users_are_mapped(void)
{
    unsigned long first = 1, outside = 1, count = 0;
    FILE *map = fopen("/proc/self/uid_map", "r");
    if (map) {
        if (fscanf(map, "%lu %lu %lu", &first, &outside, &count) != 3)
            count = 0;
        fclose(map);
    }
    return map && (first != 0 || outside != 0 || count < 4294967295UL);
}

/* Who may rename a folder above ours puts another program in its place, which a later start of ours (the reporter's)
 * would run. So all of them must be root's or our own, and open to others only where they are sticky. */
static void check_owners(const char *temporary)
{
    const uid_t unmapped = 65534;
    char path[PATH_MAX], reason[PATH_MAX + 64];
    struct stat status;
    strcpy(path, temporary);
    for (;;) {
        if (lstat(path, &status))
            fail(temporary, strerror(errno));
        int foreign = status.st_uid != 0 && status.st_uid != geteuid() &&
                      !(status.st_uid == unmapped && users_are_mapped());
        if (foreign || ((status.st_mode & 022) && !(status.st_mode & S_ISVTX))) {
            snprintf(reason, sizeof reason, "%s can be changed by other users", path);
            fail(temporary, reason);
        }
        char *end = strrchr(path, '/');
        if (end == path && !path[1])
            return;
        end[end == path] = 0;
    }
}

/* Remove what a killed predecessor of the same user left: a folder that nobody holds. */
static void sweep(const char *temporary)
{
    DIR *listing = opendir(temporary);
    struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        struct stat status;
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
            continue;
        char *path = join(temporary, entry->d_name);
        int found = open_folder(path);
        if (found < 0)
            continue;
        if (!fstat(found, &status) && status.st_uid == geteuid() && !(status.st_mode & 066) &&
            !flock(found, LOCK_EX | LOCK_NB))
            remove_tree(path);
        close(found);
    }
    if (listing)
        closedir(listing);
}

/* Make a folder and hold it. Another start may sweep it away before the lock is on it; then it is made again. */
static int make_folder(const char *temporary)
{
    struct stat status;
    for (;;) {
        folder = join(temporary, PREFIX "XXXXXX");
        if (!mkdtemp(folder))
            fail(temporary, strerror(errno));
        int held = open_folder(folder);
        if (held >= 0 && flock(held, LOCK_SH)) {
            int error = errno;
            rmdir(folder);
            fail(temporary, strerror(error));
        }
        if (held >= 0 && !fstat(held, &status) && status.st_nlink > 0 && !access(folder, F_OK))
            return held;
        if (held >= 0)
            close(held);
    }
}

static void close_all(void)
{
    DIR *open_ones = opendir("/proc/self/fd");
    struct dirent *entry;
    while (open_ones && (entry = readdir(open_ones))) {
        int one = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && one != dirfd(open_ones))
            close(one);
    }
    if (open_ones)
        closedir(open_ones);
}

/* Start the process that removes the folder. It is nobody's child, so that nobody is surprised by its end. */
static void start_remover(void)
{
    pid_t child = fork();
    if (child < 0)
        return; /* the next start will sweep */
    if (child > 0) {
        waitpid(child, NULL, 0);
        return;
    }
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    if (fork())
        _exit(0);
    prctl(PR_SET_NAME, PROGRAM "-rm");
    close_all();
    if (chdir("/"))
        _exit(1);
    int held = open_folder(folder);
    while (held >= 0 && flock(held, LOCK_EX))
        if (errno != EINTR)
            _exit(1);
    remove_tree(folder);
    _exit(0);
}

/* ---- what is unpacked ---- */

static ZSTD_DStream *stream;
static ZSTD_inBuffer packed;
static char buffer[1 << 17];

static void unpack_failed(const char *why)
{
    remove_tree(folder);
    *strrchr(folder, '/') = 0;
    fail(folder, why);
}

static size_t read_some(size_t wanted)
{
    ZSTD_outBuffer out = {buffer, wanted < sizeof buffer ? wanted : sizeof buffer, 0};
    while (out.pos < out.size) {
        size_t before = packed.pos, filled = out.pos;
        size_t left = ZSTD_decompressStream(stream, &out, &packed);
        if (ZSTD_isError(left) || (before == packed.pos && filled == out.pos))
            unpack_failed("this file is damaged");
    }
    return out.pos;
}

/* The checksum is behind the archive's own end. */
static void check_rest(void)
{
    size_t left;
    do {
        ZSTD_outBuffer out = {buffer, sizeof buffer, 0};
        left = ZSTD_decompressStream(stream, &out, &packed);
        if (ZSTD_isError(left) || (left && packed.pos == packed.size && !out.pos))
            unpack_failed("this file is damaged");
    } while (left);
}

static void unpack_file(const char *path, mode_t mode, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0)
        unpack_failed(strerror(errno));
    while (size > 0) {
        size_t length = read_some(size);
        for (size_t done = 0; done < length;) {
            ssize_t written = write(file, buffer + done, length - done);
            if (written < 0 && errno != EINTR)
                unpack_failed(strerror(errno));
            done += written > 0 ? written : 0;
        }
        size -= length;
    }
    if (fchmod(file, mode) || close(file))
        unpack_failed(strerror(errno));
}

static void unpack(void)
{
    stream = ZSTD_createDStream();
    packed = (ZSTD_inBuffer){payload, payload_end - payload, 0};
    for (;;) {
        char name[101] = "";
        read_some(512);
        if (!buffer[0])
            break;
        memcpy(name, buffer, 100);
        mode_t mode = strtol(buffer + 100, NULL, 8);
        size_t size = strtoul(buffer + 124, NULL, 8);
        char type = buffer[156];
        char *path = join(folder, name);
        if (type == '5') {
            if (mkdir(path, mode) || chmod(path, mode))
                unpack_failed(strerror(errno));
        } else {
            unpack_file(path, mode, size);
            if (size % 512)
                read_some(512 - size % 512);
        }
    }
    check_rest();
    ZSTD_freeDStream(stream);
}

/* The executable names its loader by an absolute path, for which the build left room. */
static void set_loader(const char *executable)
{
    char *path = join(folder, "_internal/" LOADER), room[PATH_MAX] = "";
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    int file = open(executable, O_RDWR | O_CLOEXEC);
    if (file < 0 || pread(file, &header, sizeof header, 0) != sizeof header)
        unpack_failed("this file is damaged");
    for (int i = 0; i < header.e_phnum; i++) {
        if (pread(file, &segment, sizeof segment, header.e_phoff + i * sizeof segment) != sizeof segment)
            unpack_failed("this file is damaged");
        if (segment.p_type != PT_INTERP)
            continue;
        if (strlen(path) >= segment.p_filesz || segment.p_filesz > sizeof room)
            unpack_failed("its name is too long");
        strcpy(room, path);
        if (pwrite(file, room, segment.p_filesz, segment.p_offset) != (ssize_t)segment.p_filesz || close(file))
            unpack_failed(strerror(errno));
        return;
    }
    unpack_failed("this file is damaged");
}

int main(int argc, char **argv)
{
    (void)argc;
    char temporary[PATH_MAX], number[16];
    const char *named = getenv("TMPDIR");
    struct statvfs mount;
    open_standard_descriptors();
    if (!named || !*named)
        named = "/tmp";
    if (!realpath(named, temporary) || statvfs(temporary, &mount))
        fail(named, strerror(errno));
    if (mount.f_flag & ST_NOEXEC)
        fail(temporary, "mounted noexec");
    check_owners(temporary);
    sweep(temporary);
    /* Who is stopped between these two would leave the folder behind: a signal waits that long. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int held = make_folder(temporary);
    start_remover();
    sigprocmask(SIG_SETMASK, &before, NULL);
    unpack();
    char *program = join(folder, PROGRAM);
    set_loader(program);

    /* The reporter is another user: it may run what is in here, but not list, and so not lock, the folder. */
    if (chmod(folder, 0711))
        unpack_failed(strerror(errno));
    fcntl(held, F_SETFD, 0);
    snprintf(number, sizeof number, "%d", held);
    setenv("_CARPSIDECAR_LOCK", number, 1);
    execv(program, argv);
    unpack_failed(strerror(errno));
}
