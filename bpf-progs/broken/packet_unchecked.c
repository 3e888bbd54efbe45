// SPDX-License-Identifier: MIT OR Apache-2.0
/* Reads the Ethernet header without asking whether the packet is that long. */
#include "broken.h"

SEC("xdp")
int packet_unchecked(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if (eth->h_proto == net16(ETH_P_ARP)) /* refused here */
		return XDP_DROP;
	return XDP_PASS;
}

LICENSE("GPL");
