// SPDX-License-Identifier: MIT OR Apache-2.0
/* Follows a pointer of the kernel directly: the first argument of the probed function is an address, no more. */
#include "broken.h"

/* The registers of x86-64, as far as the first argument. Source: struct pt_regs, arch/x86. */
struct registers {
	u64 other[14];
	u64 di;
};

SEC("kprobe/do_unlinkat")
int memory_direct(struct registers *ctx)
{
	u32 *inode = (u32 *)ctx->di;

	return *inode == 42; /* refused here */
}

LICENSE("GPL");
