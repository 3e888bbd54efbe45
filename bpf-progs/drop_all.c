// SPDX-License-Identifier: MIT OR Apache-2.0
/* Drops every packet. The section name says nothing of the type: whoever loads it has to know that it is XDP. */
#include "rxdp_bpf.h"

SEC("prog")
int xdp_drop_all(struct xdp_md *ctx)
{
	return XDP_DROP;
}

LICENSE("GPL");
