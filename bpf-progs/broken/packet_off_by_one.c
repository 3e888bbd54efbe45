// SPDX-License-Identifier: MIT OR Apache-2.0
/* Asks for one byte less than it reads: the check compares with the last byte's address, not with the first behind it. */
#include "broken.h"

SEC("xdp")
int packet_off_by_one(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) - 1 > end)
		return XDP_PASS;
	if (eth->h_proto == net16(ETH_P_ARP)) /* refused here */
		return XDP_DROP;
	return XDP_PASS;
}

LICENSE("GPL");
