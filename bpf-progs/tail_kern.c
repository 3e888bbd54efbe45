// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The tail-call article's kernel side: xdp/0 jumps to xdp/1 through slot 78 of jmp_table1.
 *
 * Variants of this object are built from this one source (xtask/src/manifest.rs):
 *   -DSEC0=... -DSEC1=...   other section names for the two programs
 *   -DBTF_MAPS              the tables in SEC(".maps") in place of SEC("maps")
 */
#include "rxdp_bpf.h"

#ifndef SEC0
#define SEC0 "xdp/0"
#endif
#ifndef SEC1
#define SEC1 "xdp/1"
#endif

#ifdef BTF_MAPS
#define JUMP_TABLE(name)                                                       \
	struct {                                                               \
		BTF_UINT(type, BPF_MAP_TYPE_PROG_ARRAY);                       \
		BTF_UINT(key_size, sizeof(u32));                               \
		BTF_UINT(value_size, sizeof(u32));                             \
		BTF_UINT(max_entries, 100);                                    \
	} name SEC(".maps")
#else
#define JUMP_TABLE(name)                                                       \
	struct bpf_map_def name SEC("maps") = {                                \
		.type = BPF_MAP_TYPE_PROG_ARRAY,                               \
		.key_size = sizeof(u32),                                       \
		.value_size = sizeof(u32),                                     \
		.max_entries = 100,                                            \
	}
#endif

JUMP_TABLE(jmp_table1);
/* Unused, so that map_fd[] has an order to get right. */
JUMP_TABLE(jmp_table2);

/* Any slot would do; the loader has to fill this one. */
#define SLOT 78

SEC(SEC0)
int xdp_prog(struct xdp_md *ctx)
{
	TRACE("XDP: Killroy was here! %d", 42);
	bpf_tail_call(ctx, &jmp_table1, SLOT);

	/* A tail call comes back only when the slot is empty. */
	TRACE("XDP: jmp_table empty, reached fall-through action");
	return XDP_PASS;
}

SEC(SEC1)
int xdp_tail_call_1(struct xdp_md *ctx)
{
	TRACE("XDP: tail call (xdp_1) id=%d", 1);
	return XDP_PASS;
}

LICENSE("GPL");
