// SPDX-License-Identifier: MIT OR Apache-2.0
/* Writes to a constant: .rodata is a map that programs may only read. */
#include "broken.h"

const volatile u32 limit = 100;

SEC("xdp")
int map_readonly(struct xdp_md *ctx)
{
	volatile u32 *slot = (volatile u32 *)&limit;

	*slot = ctx->rx_queue_index; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
