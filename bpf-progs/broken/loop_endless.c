// SPDX-License-Identifier: MIT OR Apache-2.0
/* Waits for something in a loop: nothing in the loop changes what the verifier knows, so it never ends. */
#include "broken.h"

volatile u32 ready;

SEC("xdp")
int loop_endless(struct xdp_md *ctx)
{
	while (!ready) /* refused here */
		;
	return XDP_PASS;
}

LICENSE("GPL");
