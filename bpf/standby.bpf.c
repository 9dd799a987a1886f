// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * For ports of the kernel's own bond that share its address: hands up what is addressed to the bond, by whichever port
 * it comes in, and leaves everything else to bonding. That drops on standby ports what it should not (an access point
 * delivers there what is for the address that its station has) and what it should (multicast and broadcast, which
 * come in on the active port, too).
 *
 * It does not know which port is active. So it is right also when bonding fails over by itself.
 *
 * For 5.12 and later (bpf_check_mtu).
 */
#include "frame.h"
#include "hitless.h"

static long (*check_mtu)(struct __sk_buff *skb, __u32 ifindex, __u32 *mtu, __s32 difference, __u64 flags) =
	(void *)BPF_FUNC_check_mtu;

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct hl_standby);
} hl_standby SEC(".maps");

/* Nobody takes the filter off a port when a bond is removed by other hands; the port has to work all the same. */
INLINE int exists(struct __sk_buff *skb, __u32 ifindex)
{
	__u32 mtu = 0;

	return check_mtu(skb, ifindex, &mtu, 0, 0) >= 0;
}

SEC("classifier")
int hitless_standby(struct __sk_buff *skb)
{
	__u32 zero = 0;
	const struct hl_standby *bond = map_lookup(&hl_standby, &zero);
	struct ethhdr *eth = ethernet(skb);

	if (!bond || !eth || !same((const struct address *)eth->h_dest, (const struct address *)bond->mac))
		return TC_ACT_UNSPEC;
	/* EAPOL. The others have group addresses. */
	if (is_control((const struct address *)eth->h_dest, skb->protocol))
		return TC_ACT_UNSPEC;
	if (!exists(skb, bond->ifindex))
		return TC_ACT_UNSPEC;
	return redirect(bond->ifindex, BPF_F_INGRESS);
}

/* The kernel has bpf_check_mtu for programs under the GPL only; it knows this licence. */
const char licence[] SEC("license") = "Dual MIT/GPL";
