// SPDX-License-Identifier: MIT OR Apache-2.0
/* Takes a byte of the packet as index into a map value of 64 bytes. */
#include "broken.h"

struct seen {
	u8 port[64];
};

ARRAY(table, struct seen);

SEC("xdp")
int map_range(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	u8 *data = (void *)(long)ctx->data;
	u32 key = 0;
	struct seen *seen = bpf_map_lookup_elem(&table, &key);

	if (!seen || (void *)(data + 64) > end)
		return XDP_PASS;
	seen->port[data[35]] = 1; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
