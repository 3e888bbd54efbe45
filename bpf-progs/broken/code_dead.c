// SPDX-License-Identifier: MIT OR Apache-2.0
/* Leaves an instruction behind that no path leads to, as hand-written code does. */
#include "broken.h"

SEC("xdp")
__attribute__((naked)) int code_dead(void)
{
	asm volatile("r0 = 2\n"
		     "exit");
	asm volatile("r0 = 1\n" /* refused here */
		     "exit");
}

LICENSE("GPL");
