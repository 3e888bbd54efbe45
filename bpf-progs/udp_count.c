// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Counts IPv4 packets by protocol and drops the UDP ones: rxcnt[17] says how many, one count for each CPU.
 *
 * No licence section: the program uses no helper that asks for one, and the loader must not invent one.
 */
#include "rxdp_bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

struct bpf_map_def SEC("maps") rxcnt = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.key_size = sizeof(u32),
	.value_size = sizeof(u64),
	.max_entries = 256,
};

SEC("xdp_drop_UDP")
int xdp_count_udp(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != net16(ETH_P_IP))
		return XDP_PASS;

	u32 protocol = ip->protocol;
	u64 *count = bpf_map_lookup_elem(&rxcnt, &protocol);
	if (count)
		*count += 1;

	return protocol == IPPROTO_UDP ? XDP_DROP : XDP_PASS;
}
