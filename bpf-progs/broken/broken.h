/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the programs that the verifier refuses have in common.
 *
 * Each source holds one program with one mistake that people make. Its first comment says which; the line that the
 * refusal is to name carries the comment "refused here".
 */
#ifndef BROKEN_H
#define BROKEN_H

#include "rxdp_bpf.h"
#include <linux/if_ether.h>
#include <linux/ip.h>

#define BPF_MAP_TYPE_RINGBUF 27

/* Source: enum bpf_func_id, include/uapi/linux/bpf.h. */
static long (*const bpf_skb_load_bytes)(const void *ctx, u32 offset, void *to, u32 len) = (void *)26;
static long (*const bpf_xdp_adjust_head)(struct xdp_md *ctx, int delta) = (void *)44;
static void *(*const bpf_ringbuf_reserve)(void *ringbuf, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;

/* One entry, found by number. */
#define ARRAY(name, held)                                                      \
	struct {                                                               \
		BTF_UINT(type, BPF_MAP_TYPE_ARRAY);                            \
		BTF_UINT(max_entries, 1);                                      \
		BTF_TYPE(key, u32);                                            \
		BTF_TYPE(value, held);                                         \
	} name SEC(".maps")

#endif
