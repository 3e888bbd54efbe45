// SPDX-License-Identifier: MIT OR Apache-2.0
/* Uses what a look-up found without asking whether it found something. */
#include "broken.h"

struct {
	BTF_UINT(type, BPF_MAP_TYPE_HASH);
	BTF_UINT(max_entries, 64);
	BTF_TYPE(key, u32);
	BTF_TYPE(value, u64);
} packets SEC(".maps");

SEC("xdp")
int map_null(struct xdp_md *ctx)
{
	u32 key = ctx->ingress_ifindex;
	u64 *count = bpf_map_lookup_elem(&packets, &key);

	*count += 1; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
