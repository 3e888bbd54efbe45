// SPDX-License-Identifier: MIT OR Apache-2.0
/* Stands on an interface that several XDP programs share, and calls one after another. Each takes the place of a
 * function `progN` (freplace), so that the loader's and xdp-tools' programs can share an interface. Written from the
 * facts in docs/dispatcher.md. VERSION is that of the protocol: 2 or 3, and others for tests.
 *
 * `conf` is filled in and frozen before this is loaded: the verifier then knows how many programs there are, and leaves
 * out the calls of the others. */
#include "rxdp_bpf.h"

#ifndef VERSION
#define VERSION 2
#endif
#define SLOTS 10

/* What a slot returns that holds no program. Its bit is set in every mask, so the next slot is called. */
#define EMPTY 31

static long (*const bpf_xdp_adjust_tail)(struct xdp_md *ctx, int delta) = (void *)65;

struct config {
#if VERSION >= 2
	u8 magic;
	u8 version;
#endif
	u8 num_progs_enabled;
#if VERSION >= 2
	u8 is_xdp_frags;
#endif
	u32 chain_call_actions[SLOTS];
	u32 run_prios[SLOTS];
#if VERSION >= 2
	u32 program_flags[SLOTS];
#endif
#if VERSION >= 3
	u8 is_xdp_devbound;
#endif
};
_Static_assert(sizeof(struct config) == (VERSION >= 3 ? 128 : VERSION == 2 ? 124 : 84), "as others read it");

__attribute__((used)) static volatile const struct config conf = { 0 };

/* The version for readers that look into the types only: the length of the array is the number. */
BTF_UINT(dispatcher_version, VERSION) SEC("xdp_metadata");

/* The verdict is volatile, or compiler and verifier would take it for a constant. The helper is one that may change the
 * packet: only over a function that calls such a one can a program be put that does so, too (Linux 6.13, and 6.12 by a
 * backport). */
#define SLOT(number)                                                           \
	NOINLINE int prog##number(struct xdp_md *ctx)                          \
	{                                                                      \
		volatile int verdict = EMPTY;                                  \
                                                                               \
		if (!ctx)                                                      \
			return XDP_ABORTED;                                    \
		bpf_xdp_adjust_tail(ctx, 0);                                   \
		return verdict;                                                \
	}

SLOT(0)
SLOT(1)
SLOT(2)
SLOT(3)
SLOT(4)
SLOT(5)
SLOT(6)
SLOT(7)
SLOT(8)
SLOT(9)

/* Calls one program, and ends with its verdict unless others are to follow it. A number that no bit stands for ends,
 * too. */
#define CALL(number)                                                           \
	if (conf.num_progs_enabled <= number)                                  \
		return XDP_PASS;                                               \
	verdict = prog##number(ctx);                                           \
	if (verdict > 31 || !(conf.chain_call_actions[number] >> verdict & 1)) \
		return verdict;

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	u32 verdict;

	CALL(0)
	CALL(1)
	CALL(2)
	CALL(3)
	CALL(4)
	CALL(5)
	CALL(6)
	CALL(7)
	CALL(8)
	CALL(9)
	return XDP_PASS;
}

/* The smallest program there is, to find out whether this kernel lets programs take others' places. */
SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

LICENSE("GPL");
