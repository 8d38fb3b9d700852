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
/* CRC-32 (that of gzip) of what had `before`, 0 at first, and these bytes; as zlib's crc32_combine() joins them. */
uint32_t unpacked_checksum(uint32_t before, const void *bytes, size_t n);

/* What will be kept, while it is made: a file of the folder, or memory where there is none to be had, where it is not
 * worth it, or where the disk would be full. Of what was not used for longest so much goes that there is room. */
struct unpacked;
/* For what is made of `e`, at most `size` bytes long. `in_memory`: there in any case. 0 or -ENOMEM. */
int unpacked_new(const struct elf_image *e, size_t size, bool in_memory, struct unpacked **ret);
/* Several threads may write at once, to different places. Negative errno: what is full, or broken, is of no use. */
int unpacked_write(struct unpacked *u, const void *bytes, size_t n, size_t at);
/* Makes an image of the first `size` bytes, each of which was written, and of some that are not its own; keeps it, if
 * there is a checksum and it can be kept. As elf_image_map(). */
int unpacked_finish(struct unpacked *u, size_t size, const uint32_t *checksum, struct elf_image *ret);
void unpacked_close(struct unpacked *u); /* NULL does nothing; the image stays */
