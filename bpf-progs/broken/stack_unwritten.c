// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Looks up a key of which it has set one half only: the other half is whatever was on the stack.
 *
 * Programs of those who have CAP_PERFMON may read such bytes since Linux 6.3, so root does not see this refusal.
 */
#include "broken.h"

struct flow {
	u32 address;
	u32 queue;
};

struct {
	BTF_UINT(type, BPF_MAP_TYPE_HASH);
	BTF_UINT(max_entries, 64);
	BTF_TYPE(key, struct flow);
	BTF_TYPE(value, u64);
} flows SEC(".maps");

SEC("xdp")
int stack_unwritten(struct xdp_md *ctx)
{
	struct flow flow;

	flow.queue = ctx->rx_queue_index;
	u64 *count = bpf_map_lookup_elem(&flows, &flow); /* refused here */
	if (count)
		*count += 1;
	return XDP_PASS;
}

LICENSE("GPL");
