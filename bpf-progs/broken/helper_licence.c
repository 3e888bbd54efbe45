// SPDX-License-Identifier: MIT OR Apache-2.0
/* Calls a helper that is for programs under the GPL only, from one that is not. */
#include "broken.h"

SEC("xdp")
int helper_licence(struct xdp_md *ctx)
{
	TRACE("a packet on queue %d", ctx->rx_queue_index); /* refused here */
	return XDP_PASS;
}

LICENSE("MIT");
