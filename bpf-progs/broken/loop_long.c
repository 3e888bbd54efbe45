// SPDX-License-Identifier: MIT OR Apache-2.0
/* Walks over a million steps: each has an end, but the verifier goes through all of them. */
#include "broken.h"

u32 sum;

SEC("xdp")
int loop_long(struct xdp_md *ctx)
{
	for (u32 i = 0; i < 1000000; i++) *(volatile u32 *)&sum += i; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
