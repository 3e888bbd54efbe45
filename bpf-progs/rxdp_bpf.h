/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What our BPF sources need of the kernel's BPF interface, and no more.
 *
 * No libbpf header, and not <linux/bpf.h> either: its line numbers and enumerators would enter the
 * debug information, and the objects would change with every update of the kernel headers.
 * Source of all numbers: include/uapi/linux/bpf.h.
 */
#ifndef RXDP_BPF_H
#define RXDP_BPF_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define LICENSE(text) char _license[] SEC("license") = text

/* enum bpf_map_type */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PROG_ARRAY 3
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_DEVMAP 14
#define BPF_MAP_TYPE_CPUMAP 16

/* enum xdp_action */
#define XDP_ABORTED 0
#define XDP_DROP 1
#define XDP_PASS 2
#define XDP_TX 3
#define XDP_REDIRECT 4

/* The context of an XDP program. The data fields hold packet addresses once the verifier has rewritten the
 * accesses. */
struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

/* A map in SEC("maps"), as the loader of the kernel's samples read it: 28 bytes. */
struct bpf_map_def {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 inner_map_idx;
	u32 numa_node;
};
_Static_assert(sizeof(struct bpf_map_def) == 28, "seven words");

/* A map in SEC(".maps") is a struct whose member types carry the numbers. */
#define BTF_UINT(name, value) int (*name)[value]
#define BTF_TYPE(name, type) typeof(type) *name

/* Helpers are called by number; the number is the "address" of the function. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_trace_printk)(const char *fmt, u32 fmt_size, ...) = (void *)6;
static long (*const bpf_tail_call)(void *ctx, void *prog_array, u32 index) = (void *)12;

/* One line into the kernel's trace. The format lies on the stack, so that the object needs no .rodata map. */
#define TRACE(text, ...)                                                       \
	do {                                                                   \
		char line[] = text "\n";                                       \
		bpf_trace_printk(line, sizeof(line), ##__VA_ARGS__);           \
	} while (0)

/* Byte order: x86_64, arm64 and the BPF objects we build are little-endian, the network is big-endian. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define net16(x) ((u16)__builtin_bswap16(x))
#else
#define net16(x) ((u16)(x))
#endif

#endif
