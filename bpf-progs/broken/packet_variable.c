// SPDX-License-Identifier: MIT OR Apache-2.0
/* Adds the length of the IP header to the packet's address, and reads there without another check. */
#include "broken.h"

SEC("xdp")
int packet_variable(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != net16(ETH_P_IP))
		return XDP_PASS;

	u16 *ports = (void *)ip + ip->ihl * 4;
	if (ports[1] == net16(53)) /* refused here */
		return XDP_DROP;
	return XDP_PASS;
}

LICENSE("GPL");
