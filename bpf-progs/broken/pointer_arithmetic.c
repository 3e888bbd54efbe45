// SPDX-License-Identifier: MIT OR Apache-2.0
/* Asks whether the packet begins at a multiple of four: the verifier follows only sums and differences of pointers. */
#include "broken.h"

SEC("xdp")
int pointer_arithmetic(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;

	if (data + 64 > end)
		return XDP_PASS;
	return (long)data & 3 ? XDP_DROP : XDP_PASS; /* refused here */
}

LICENSE("GPL");
