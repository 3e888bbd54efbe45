// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Stores an address of the kernel in a map, where user space could read it.
 *
 * Programs of those who have CAP_PERFMON may, so root does not see this refusal.
 */
#include "broken.h"

ARRAY(last, u64);

SEC("xdp")
int pointer_leak(struct xdp_md *ctx)
{
	u32 key = 0;
	u64 *seen = bpf_map_lookup_elem(&last, &key);

	if (seen)
		*seen = (long)ctx; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
