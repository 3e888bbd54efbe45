// SPDX-License-Identifier: MIT OR Apache-2.0
/* Returns with a spin lock held. */
#include "broken.h"

struct bpf_spin_lock {
	u32 value;
};

static void (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static void (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;

struct budget {
	struct bpf_spin_lock lock;
	u32 left;
};

ARRAY(budgets, struct budget);

SEC("xdp")
int lock_held(struct xdp_md *ctx)
{
	u32 key = 0;
	struct budget *budget = bpf_map_lookup_elem(&budgets, &key);

	if (!budget)
		return XDP_PASS;
	bpf_spin_lock(&budget->lock);
	if (budget->left == 0) /* refused here */
		return XDP_DROP;
	budget->left -= 1;
	bpf_spin_unlock(&budget->lock);
	return XDP_PASS;
}

LICENSE("GPL");
