// SPDX-License-Identifier: MIT OR Apache-2.0
/* Sets a field of the context that programs may only read. */
#include "broken.h"

SEC("xdp")
int context_write(struct xdp_md *ctx)
{
	ctx->ingress_ifindex = 1; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
