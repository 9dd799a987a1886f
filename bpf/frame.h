/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the programs have in common: the notation of maps, the helpers that all of them use, and how a frame is looked at.
 */
#ifndef HITLESS_FRAME_H
#define HITLESS_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(value) __builtin_bswap16(value)
#else
#define BE16(value) (value)
#endif

/* Maps in the notation that loaders know from libbpf: the members' types carry the values. */
#define UINT(name, value) int(*name)[value]
#define TYPE(name, type) type *name

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;

/* An address as three 16-bit words: that is how a frame is aligned where alignment matters. */
struct address {
	__u16 word[3];
};

INLINE int same(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2];
}

INLINE struct ethhdr *ethernet(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	return (void *)(eth + 1) <= (void *)(long)skb->data_end ? eth : 0;
}

/*
 * Frames that concern the link and not what lies behind it: no bridge passes on 01:80:c2:00:00:00 to :0f
 * (IEEE 802.1Q table 8-1: LACP, LLDP, spanning tree, pause), and EAPOL is between the port and its authenticator.
 */
INLINE int is_control(const struct address *destination, __u16 protocol)
{
	return protocol == BE16(ETH_P_PAE) ||
	       (destination->word[0] == BE16(0x0180) && destination->word[1] == BE16(0xc200) &&
		(destination->word[2] & BE16(0xfff0)) == 0);
}

#endif
