// SPDX-License-Identifier: MIT OR Apache-2.0
/* Takes a record of a ring buffer, and on one way out neither submits nor discards it. */
#include "broken.h"

struct {
	BTF_UINT(type, BPF_MAP_TYPE_RINGBUF);
	BTF_UINT(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int reference_leak(struct xdp_md *ctx)
{
	u32 *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return XDP_PASS;
	*event = ctx->ingress_ifindex;
	if (*event == 1) /* refused here */
		return XDP_DROP;
	bpf_ringbuf_submit(event, 0);
	return XDP_PASS;
}

LICENSE("GPL");
