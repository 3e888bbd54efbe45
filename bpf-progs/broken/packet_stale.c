// SPDX-License-Identifier: MIT OR Apache-2.0
/* Goes on with a pointer into the packet after a helper may have moved the packet. */
#include "broken.h"

SEC("xdp")
int packet_stale(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -4))
		return XDP_ABORTED;
	eth->h_proto = net16(ETH_P_8021Q); /* refused here */
	return XDP_TX;
}

LICENSE("GPL");
