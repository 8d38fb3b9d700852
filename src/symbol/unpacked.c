#include "symbol/unpacked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/sort.h"

enum {
    LEAST_BYTES = 1 << 20,   /* less is inflated as fast as it is found */
    MOST_BYTES = 64 << 20,   /* of one file, */
    MOST_OF_ALL = 256 << 20, /* … of all together, */
    MOST_OF_DISK = 8,        /* … and one part in so many of what is free */
    STALE_SECONDS = 3600,    /* an unfinished file of a scry that was killed */
    BOOT_ID = 36,            /* letters */
};

static const char finished[] = "kept-", unfinished[] = "new-";

/* ---- the folder ---- */

static bool is_own(int fd, mode_t type) {
    struct stat st;
    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() && !(st.st_mode & 022);
}

/* A folder that is ours; -1 without. `make`: made if it is not there. */
static int open_own(int in, const char *path, bool make) {
    if (make)
        (void)mkdirat(in, path, 0700); /* it may be there */
    int fd = openat(in, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && is_own(fd, S_IFDIR))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* With the privileges of a file (setuid, capabilities) the environment is a stranger's: nothing is kept then. */
static int open_cache(bool make) {
    const char *given = secure_getenv("SCRY_CACHE"), *cache = secure_getenv("XDG_CACHE_HOME");
    const char *home = secure_getenv("HOME");
    if (given)
        return given[0] == '/' ? open_own(AT_FDCWD, given, make) : -1;
    _cleanup_(closep) int at_home = -1, in = -1;
    if (cache && cache[0] == '/')
        in = open_own(AT_FDCWD, cache, make);
    else if (home && home[0] == '/') {
        at_home = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        in = at_home >= 0 && is_own(at_home, S_IFDIR) ? open_own(at_home, ".cache", make) : -1;
    }
    return in >= 0 ? open_own(in, "scry", make) : -1;
}

static int open_folder(bool make) {
    _cleanup_(closep) int cache = open_cache(make);
    return cache >= 0 ? open_own(cache, "debug", make) : -1;
}

/* ---- names ---- */

struct kept_name {
    char text[192];
};

/* By what the file says it is and by what it is on disk: where all files have one and the same time, as in images of
 * file systems, another file may come to be in the place of this one. False when there is nothing to name it by: an
 * image that was never a file. */
static bool name_of(const struct elf_image *e, struct kept_name *ret) {
    const struct elf_origin *o = &e->origin;
    char build_id[BUILD_ID_TEXT];
    if (!o->inode)
        return false;
    elf_image_build_id(e, build_id);
    snprintf(ret->text, sizeof(ret->text), "%s%.64s-%llx-%llx-%llx-%llx-%llx", finished, build_id,
             (unsigned long long)o->device, (unsigned long long)o->inode, (unsigned long long)e->size,
             (unsigned long long)o->modified_ns, (unsigned long long)o->changed_ns);
    return true;
}

/* ---- whether it is whole ---- */

/* What ends a file that was kept. */
struct trailer {
    char magic[8];
    uint64_t size; /* of the image, which is before it */
    char boot[BOOT_ID];
    uint32_t checksum; /* of the image */
};

static const char magic[sizeof(((struct trailer *)NULL)->magic)] = "scryKept"; /* without a NUL */

uint32_t unpacked_checksum(uint32_t before, const void *bytes, size_t n) {
    return crc32_gzip_refl(before, bytes, n);
}

static bool read_boot(char ret[BOOT_ID]) {
    _cleanup_(buf_free) struct buf boot = {0};
    if (file_read("/proc/sys/kernel/random/boot_id", 64, &boot, NULL) < 0 || boot.len < BOOT_ID)
        return false;
    memcpy(ret, boot.data, BOOT_ID);
    return true;
}

/* What this boot wrote or has seen whole it believes. Of what another one wrote all may be missing that was not on disk
 * yet when that ended, though the file has its name and its length: so that is summed up, once.
 *
 * Two may do so at once, and write the same; whoever reads the boot half written sums up as well. The file that is
 * written to is the one that was read, whatever has its name by now. */
static bool is_whole(const struct elf_image *kept, int fd, const char boot[BOOT_ID]) {
    struct trailer t;
    if (kept->size < sizeof(t))
        return false;
    memcpy(&t, kept->data + kept->size - sizeof(t), sizeof(t));
    if (memcmp(t.magic, magic, sizeof(magic)) != 0 || t.size != kept->size - sizeof(t))
        return false;
    if (memcmp(t.boot, boot, BOOT_ID) == 0)
        return true;
    if (unpacked_checksum(0, kept->data, t.size) != t.checksum)
        return false;
    (void)!pwrite(fd, boot, BOOT_ID, (off_t)(t.size + offsetof(struct trailer, boot))); /* else the next one sums up */
    return true;
}

/* ---- finding ---- */

static int open_kept(int folder, const char *name) {
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) /* the disk may be read-only by now */
        fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

/* -ENOEXEC when it is broken. */
static int map_kept(int fd, const char boot[BOOT_ID], struct elf_image *ret) {
    int rc = elf_image_map(fd, ret);
    if (rc < 0)
        return rc;
    if (!is_whole(ret, fd, boot))
        rc = -ENOEXEC;
    else if (!elf_image_section(ret, ".debug_info")) /* no memory for the headers */
        rc = -ENOMEM;
    if (rc < 0)
        elf_image_close(ret);
    return rc;
}

int unpacked_find(const struct elf_image *e, struct elf_image *ret) {
    _cleanup_(closep) int folder = open_folder(false);
    struct kept_name name;
    char boot[BOOT_ID];
    if (folder < 0 || !name_of(e, &name) || !read_boot(boot))
        return -ENOENT;
    _cleanup_(closep) int fd = open_kept(folder, name.text);
    if (fd < 0 || !is_own(fd, S_IFREG))
        return -ENOENT;
    int rc = map_kept(fd, boot, ret);
    if (rc == -ENOEXEC) /* or what has taken its place since: it is made anew */
        unlinkat(folder, name.text, 0);
    if (rc < 0)
        return -ENOENT;
    (void)futimens(fd, NULL); /* it was used now; if that cannot be said it goes earlier */
    return 0;
}

/* ---- making room ---- */

struct kept_file {
    uint64_t used_ns; /* must be first: they are sorted by it */
    size_t size;
    char name[sizeof(struct kept_name)];
};

/* A name that begins so and goes on in numbers, as all of ours do. */
static bool is_named(const char *name, const char *begin) {
    size_t n = strlen(begin);
    return strncmp(name, begin, n) == 0 && !name[n + strspn(name + n, "0123456789abcdef-")];
}

/* Once files were named after the boot, and of no use to the next one. */
static bool is_named_after_boot(const char *name) {
    return is_named(name, "") && strlen(name) > BOOT_ID && name[8] == '-' && name[13] == '-' && name[BOOT_ID] == '-';
}

/* Left behind by a scry that was killed, or by an older one. */
static bool is_useless(const char *name, const struct stat *st) {
    if (is_named(name, unfinished))
        return time(NULL) - st->st_mtime > STALE_SECONDS;
    return is_named_after_boot(name);
}

/* The files that are kept; what is not ours is let alone. */
static int list(DIR *d, struct kept_file **ret, size_t *ret_count) {
    size_t capacity = 0, n = 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        struct stat st;
        size_t length = strlen(e->d_name);
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            length >= sizeof((*ret)->name))
            continue;
        if (is_useless(e->d_name, &st)) {
            unlinkat(dirfd(d), e->d_name, 0);
            continue;
        }
        if (!is_named(e->d_name, finished) && !is_named(e->d_name, unfinished))
            continue;
        if (mem_grow((void **)ret, &capacity, n + 1, sizeof(**ret)) < 0)
            return -ENOMEM;
        struct kept_file *f = &(*ret)[n++];
        *f = (struct kept_file){.used_ns = clock_ns_of(&st.st_mtim), .size = (size_t)st.st_size};
        memcpy(f->name, e->d_name, length + 1);
    }
    *ret_count = n;
    return 0;
}

/* Whether there is room for so many bytes, then. */
static bool make_room(int folder, size_t size) {
    struct statvfs disk;
    if (fstatvfs(folder, &disk) < 0 || size > (uint64_t)disk.f_bavail * disk.f_frsize / MOST_OF_DISK)
        return false;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again >= 0 ? fdopendir(again) : NULL;
    if (!d) {
        if (again >= 0)
            close(again);
        return false;
    }
    _cleanup_(freep) struct kept_file *all = NULL;
    size_t n = 0, total = size;
    int rc = list(d, &all, &n);
    closedir(d);
    for (size_t i = 0; i < n; i++)
        total += all[i].size;
    if (rc == 0)
        rc = sort_by_key(all, n, sizeof(*all));
    for (size_t i = 0; rc == 0 && i < n && total > MOST_OF_ALL; i++)
        if (unlinkat(folder, all[i].name, 0) == 0)
            total -= all[i].size;
    return rc == 0 && total <= MOST_OF_ALL;
}

/* ---- a new one ---- */

struct unpacked {
    int folder, fd; /* -1, -1: it is in memory, */
    uint8_t *memory;
    size_t size; /* … which is so long */
    struct kept_name name, new;
};

static bool is_worth_keeping(size_t size) {
    return size >= LEAST_BYTES && size <= MOST_BYTES;
}

/* Two may do so at once: each writes a file of its own, and the last one stays. */
static bool open_new(const struct elf_image *e, struct unpacked *u) {
    if (!is_worth_keeping(u->size) || !name_of(e, &u->name))
        return false;
    u->folder = open_folder(true);
    if (u->folder < 0 || !make_room(u->folder, u->size))
        return false;
    snprintf(u->new.text, sizeof(u->new.text), "%s%x-%llx", unfinished, (unsigned)getpid(),
             (unsigned long long)e->origin.inode);
    u->fd = openat(u->folder, u->new.text, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return u->fd >= 0;
}

int unpacked_new(const struct elf_image *e, size_t size, bool in_memory, struct unpacked **ret) {
    struct unpacked *u = mem_alloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    *u = (struct unpacked){.folder = -1, .fd = -1, .size = size};
    if ((in_memory || !open_new(e, u)) && !(u->memory = mem_alloc_large(size))) {
        unpacked_close(u);
        return -ENOMEM;
    }
    *ret = u;
    return 0;
}

int unpacked_write(struct unpacked *u, const void *bytes, size_t n, size_t at) {
    if (at > u->size || n > u->size - at)
        return -EFBIG;
    if (u->memory) {
        memcpy(u->memory + at, bytes, n);
        return 0;
    }
    return file_write_at(u->fd, bytes, n, at);
}

/* Ends the file and gives it its name. */
static int keep(struct unpacked *u, size_t size, uint32_t checksum) {
    struct trailer t = {.size = size, .checksum = checksum};
    memcpy(t.magic, magic, sizeof(magic));
    if (!read_boot(t.boot))
        return -ENOENT;
    int rc = file_write_at(u->fd, &t, sizeof(t), size);
    if (rc < 0)
        return rc;
    if (renameat(u->folder, u->new.text, u->folder, u->name.text) < 0)
        return -errno;
    u->new.text[0] = '\0';
    return 0;
}

int unpacked_finish(struct unpacked *u, size_t size, const uint32_t *checksum, struct elf_image *ret) {
    if (u->memory)
        return elf_image_of(TAKE_PTR(u->memory), size, ret);
    if (checksum)
        (void)keep(u, size, *checksum); /* else it serves this time */
    return elf_image_map(u->fd, ret);
}

void unpacked_close(struct unpacked *u) {
    if (!u)
        return;
    bool whole = u->fd < 0 || close(u->fd) == 0; /* over a network what could not be written may be told now */
    if (u->fd >= 0 && (u->new.text[0] || !whole))
        unlinkat(u->folder, u->new.text[0] ? u->new.text : u->name.text, 0);
    if (u->folder >= 0)
        close(u->folder);
    free(u->memory);
    free(u);
}
