// SPDX-License-Identifier: MIT OR Apache-2.0
/* Turns the echo service's UDP port 7 into 7777 in packets that arrive, and keeps their checksum right. */
#include "rxdp_bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define FROM_PORT 7
#define TO_PORT 7777
#define FRAGMENT_OFFSET 0x1fff

/* RFC 1624, equation 3: the checksum after one of its 16-bit words went from `old` to `new`. */
static ALWAYS_INLINE u16 checksum_after(u16 check, u16 old, u16 new)
{
	u32 sum = (u16)~check + (u16)~old + new;

	/* The first fold can carry once more. */
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	/* On the wire 0 means "no checksum"; all ones is the same number. */
	return (u16)~sum ?: 0xffff;
}

SEC("xdp")
int xdp_rewrite(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != net16(ETH_P_IP))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_UDP || ip->ihl < 5)
		return XDP_PASS;
	/* Only a datagram's first fragment carries the ports. */
	if (ip->frag_off & net16(FRAGMENT_OFFSET))
		return XDP_PASS;

	struct udphdr *udp = (void *)ip + ip->ihl * 4;
	if ((void *)(udp + 1) > end || udp->dest != net16(FROM_PORT))
		return XDP_PASS;

	if (udp->check)
		udp->check = checksum_after(udp->check, udp->dest, net16(TO_PORT));
	udp->dest = net16(TO_PORT);
	return XDP_PASS;
}

LICENSE("GPL");
