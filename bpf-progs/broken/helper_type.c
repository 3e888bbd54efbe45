// SPDX-License-Identifier: MIT OR Apache-2.0
/* Calls a helper for socket buffers from XDP, which has none yet. */
#include "broken.h"

SEC("xdp")
int helper_type(struct xdp_md *ctx)
{
	u16 protocol = 0;

	bpf_skb_load_bytes(ctx, 12, &protocol, sizeof(protocol)); /* refused here */
	return protocol == net16(ETH_P_ARP) ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
