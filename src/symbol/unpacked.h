/* Debug sections that were decompressed, kept on disk for the next time: to inflate those of a C library takes longer
 * than all else that a short look at a process does.
 * May use: symbol/internal.h.
 * Must not: be needed. Whatever is wrong with the folder or a file in it, there is nothing kept.
 *
 * The folder is debug/ in $SCRY_CACHE (none when that is ""), else in scry/ of $XDG_CACHE_HOME or ~/.cache; it must be
 * the user's own, and nobody else may write to it. A file is named after what is known of the file that it was made of:
 * build id, device, inode, size, and when it was last changed. What a power cut leaves may be cut short or have holes: so
 * behind the image there is a checksum, and the boot since which it is known to be whole. Another one sums it up first,
 * and removes what is broken. */
#pragma once

#include "symbol/internal.h"

/* The image that was kept of `e`, mapped, and some bytes that are not its own; to be closed. -ENOENT when there is none. */
int unpacked_find(const struct elf_image *e, struct elf_image *ret);
/* Keeps `plain`, which was made of `e`. Does nothing where it is small, or so large that it would fill the disk. What
 * was not used for longest makes room. */
void unpacked_keep(const struct elf_image *e, const struct elf_image *plain);

/* The same by a thread of its own: both images must stay until unpacked_keep_end(), which waits for it. NULL where there is
 * nothing to do, or no thread to be had. */
struct unpacked_keeper;
struct unpacked_keeper *unpacked_keep_begin(const struct elf_image *e, const struct elf_image *plain);
void unpacked_keep_end(struct unpacked_keeper *k); /* NULL does nothing */
