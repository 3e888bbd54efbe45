// SPDX-License-Identifier: MIT OR Apache-2.0
/* Passes the key itself where the helper wants its address. */
#include "broken.h"

ARRAY(packets, u64);

SEC("xdp")
int helper_argument(struct xdp_md *ctx)
{
	u64 key = 0;
	u64 *count = bpf_map_lookup_elem(&packets, (void *)key); /* refused here */

	if (count)
		*count += 1;
	return XDP_PASS;
}

LICENSE("GPL");
