// SPDX-License-Identifier: MIT OR Apache-2.0
/* A function that calls itself. */
#include "broken.h"

static NOINLINE int depth(u32 left)
{
	volatile u32 seen = left;

	return left ? depth(left / 2) + seen : 0; /* refused here */
}

SEC("xdp")
int recursion(struct xdp_md *ctx)
{
	return depth(ctx->rx_queue_index) ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
