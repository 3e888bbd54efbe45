// SPDX-License-Identifier: MIT OR Apache-2.0
/* Two functions with 300 bytes of stack each, of which one calls the other: together they have 512. */
#include "broken.h"

static NOINLINE int inner(u32 queue)
{
	volatile char name[300] = {};

	return name[queue & 255];
}

static NOINLINE int outer(u32 queue)
{
	volatile char name[300] = {};

	return name[queue & 255] + inner(queue); /* refused here */
}

SEC("xdp")
int stack_deep(struct xdp_md *ctx)
{
	return outer(ctx->rx_queue_index) ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
