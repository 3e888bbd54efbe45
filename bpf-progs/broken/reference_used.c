// SPDX-License-Identifier: MIT OR Apache-2.0
/* Writes to a record of a ring buffer after it was submitted. */
#include "broken.h"

struct {
	BTF_UINT(type, BPF_MAP_TYPE_RINGBUF);
	BTF_UINT(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int reference_used(struct xdp_md *ctx)
{
	volatile u32 *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return XDP_PASS;
	bpf_ringbuf_submit((void *)event, 0);
	*event = 1; /* refused here */
	return XDP_PASS;
}

LICENSE("GPL");
