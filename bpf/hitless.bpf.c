// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The datapath: carries the frames of one bond by the forwarding table in its maps, and decides nothing.
 *
 * One program for both directions, attached by tc (clsact, direct action) to the egress of the bond and to the ingress
 * of each port. It is one and not two so that the filter on the bond keeps it in the kernel: the next daemon finds it
 * there and can attach it to a port even when no port is attached at the time. (A BPF_MAP_TYPE_PROG_ARRAY would not
 * keep a second program: the kernel empties it when the last process that holds it is gone.)
 *
 * For 5.10 and later. Needs no BTF of the running kernel and no headers but the kernel's own.
 */
#include "frame.h"
#include "hitless.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

static long (*clone_redirect)(struct __sk_buff *skb, __u32 ifindex, __u64 flags) = (void *)BPF_FUNC_clone_redirect;
static __u32 (*flow_hash)(struct __sk_buff *skb) = (void *)BPF_FUNC_get_hash_recalc;
static long (*store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 length, __u64 flags) =
	(void *)BPF_FUNC_skb_store_bytes;

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(max_entries, HL_SLOTS);
	TYPE(key, __u32);
	TYPE(value, struct hl_table);
} hl_tables SEC(".maps");

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct hl_head);
} hl_head SEC(".maps");

struct {
	UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	UINT(max_entries, HL_COUNTERS);
	TYPE(key, __u32);
	TYPE(value, struct hl_counter);
} hl_counters SEC(".maps");

/* Whose turn it is, for each CPU by itself: one counter for all would be passed between their caches. */
struct {
	UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, __u32);
} hl_turn SEC(".maps");

#define COUNT(index, what)                                                    \
	do {                                                                  \
		__u32 key_ = (index);                                         \
		struct hl_counter *counter_ = map_lookup(&hl_counters, &key_); \
		if (counter_)                                                 \
			counter_->what++;                                     \
	} while (0)

/* ---- from the bond to a port ---- */

INLINE int send_by(const struct hl_table *table, __u32 port)
{
	const struct hl_tx *tx = &table->tx[port & (HL_MAX_PORTS - 1)];

	COUNT(tx->counter, sent);
	return redirect(tx->ifindex, 0);
}

/* The n-th of the sequence, n less than its length. */
INLINE int send_nth(const struct hl_table *table, __u32 n)
{
	return send_by(table, table->sequence[n & (HL_MAX_SEQUENCE - 1)]);
}

INLINE __u32 hash_of(struct __sk_buff *skb, const struct hl_table *table)
{
	struct ethhdr *eth;

	if (table->hash == HL_HASH_LAYER34)
		return flow_hash(skb);
	eth = ethernet(skb);
	if (!eth)
		return 0;
	return eth->h_source[5] ^ eth->h_dest[5] ^ BE16(skb->protocol);
}

INLINE int send_in_turn(const struct hl_table *table)
{
	__u32 zero = 0;
	__u32 *turn = map_lookup(&hl_turn, &zero);
	__u32 n = turn ? (*turn)++ : 0;

	return send_nth(table, n % table->length);
}

INLINE int send_to_all(struct __sk_buff *skb, const struct hl_table *table)
{
	__u32 last = table->length - 1;
	__u32 n;

	for (n = 0; n < HL_MAX_PORTS && n < last; n++) {
		const struct hl_tx *tx = &table->tx[table->sequence[n] & (HL_MAX_PORTS - 1)];

		COUNT(tx->counter, sent);
		clone_redirect(skb, tx->ifindex, 0);
	}
	return send_nth(table, last);
}

INLINE int transmit(struct __sk_buff *skb, const struct hl_table *table)
{
	if (LIKELY(table->length == 1)) /* active-backup, whatever the rule */
		return send_by(table, 0);
	if (table->length) {
		switch (table->transmit) {
		case HL_TRANSMIT_BUCKETS:
			return send_nth(table, hash_of(skb, table) % table->length);
		case HL_TRANSMIT_ROUND_ROBIN:
			return send_in_turn(table);
		case HL_TRANSMIT_BROADCAST:
			return send_to_all(skb, table);
		}
	}
	COUNT(HL_COUNTER_BOND, dropped);
	return TC_ACT_SHOT;
}

/* ---- from a port to the bond ---- */

INLINE const struct hl_rx *port_of(const struct hl_table *table, __u32 ifindex)
{
	__u32 n;

	for (n = 0; n < HL_RX_PLACES; n++) {
		const struct hl_rx *rx = &table->rx[(ifindex + n) & (HL_RX_PLACES - 1)];

		if (rx->ifindex == ifindex)
			return rx;
		if (!rx->ifindex)
			break;
	}
	return 0;
}

/*
 * A standby port hands up what is meant for the bond itself and nothing else. A switch that does not know a station
 * floods frames for it to every port, so they come in on the active port, too; and where the bond is a port of a bridge,
 * a frame that it sends may come back by the standby port, and must not teach that bridge a wrong way.
 */
INLINE int receive(struct __sk_buff *skb, const struct hl_table *table)
{
	const struct hl_rx *rx = port_of(table, skb->ifindex);
	const struct address *destination;
	struct ethhdr *eth;
	__u32 accepted = HL_RECEIVE_OTHER;
	int to_port;

	/* Not in the bond (yet, or any more). UNSPEC and not OK: filters of others that come after ours see the frame. */
	if (!rx)
		return TC_ACT_UNSPEC;
	eth = ethernet(skb);
	if (!eth)
		return TC_ACT_SHOT;
	destination = (const struct address *)eth->h_dest;
	if (is_control(destination, skb->protocol)) {
		COUNT(rx->counter, control);
		return TC_ACT_UNSPEC;
	}
	to_port = rx->receive & HL_RECEIVE_READDRESS && same(destination, (const struct address *)rx->mac);
	if (to_port || same(destination, (const struct address *)table->bond_mac))
		accepted = HL_RECEIVE_OWN;
	if (!(rx->receive & accepted)) {
		COUNT(rx->counter, dropped);
		return TC_ACT_SHOT;
	}
	/* After a change of the bond's address, what was under way to the old one arrives all the same. */
	if (to_port)
		store_bytes(skb, 0, table->bond_mac, ETH_ALEN, 0);
	COUNT(rx->counter, received);
	return redirect(table->bond, BPF_F_INGRESS);
}

SEC("classifier")
int hitless(struct __sk_buff *skb)
{
	__u32 slot = 0;
	struct hl_head *head = map_lookup(&hl_head, &slot);
	struct hl_table *table;

	if (!head)
		return TC_ACT_SHOT;
	slot = *(volatile __u64 *)&head->version & (HL_SLOTS - 1);
	table = map_lookup(&hl_tables, &slot);
	if (!table)
		return TC_ACT_SHOT;
	return skb->ifindex == table->bond ? transmit(skb, table) : receive(skb, table);
}

/* bpf_redirect, bpf_clone_redirect and bpf_skb_store_bytes ask for no particular licence; the kernel knows this one. */
const char licence[] SEC("license") = "Dual MIT/GPL";
