// SPDX-License-Identifier: MIT OR Apache-2.0
/* Takes a byte of the packet as index into an array of 16 bytes on the stack. */
#include "broken.h"

SEC("xdp")
int stack_index(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	u8 *data = (void *)(long)ctx->data;
	volatile u8 seen[16] = {};

	if ((void *)(data + 64) > end)
		return XDP_PASS;
	seen[data[35]] = 1; /* refused here */
	return seen[3] ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
