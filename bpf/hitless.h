/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The layout of the maps that the programs (hitless.bpf.c, standby.bpf.c) and their owner (crates/linux/src/ebpf) share.
 *
 * Every structure has its mirror in crates/linux/src/ebpf/layout.rs; both sides assert the same sizes. Whoever changes
 * anything here or what it means raises HL_LAYOUT: a daemon that finds programs of another layout replaces them
 * instead of guessing. Only struct hl_head is for ever: it is what a later daemon reads to find that out.
 *
 * Numbers are in host byte order. Unused bytes are zero.
 */
#ifndef HITLESS_H
#define HITLESS_H

#include <linux/types.h>

/* The number of this layout. */
#define HL_LAYOUT 1

/* Slots for versions of the table, a power of two: a frame that is being looked at has its table for seven switches. */
#define HL_SLOTS 8

/* The most ports that one table can name. */
#define HL_MAX_PORTS 32

/* The longest sequence of ports that one table can say. */
#define HL_MAX_SEQUENCE 256

/* Places for ports in the receive part, a power of two and more than HL_MAX_PORTS, so that a search ends early. */
#define HL_RX_PLACES 64

/* Counters: one for each port, and one for the bond. */
#define HL_COUNTERS (HL_MAX_PORTS + 1)
#define HL_COUNTER_BOND HL_MAX_PORTS

/* By which rule a frame of the bond is given to a port (hl_table.transmit). */
enum hl_transmit {
	HL_TRANSMIT_NOTHING = 0,    /* dropped */
	HL_TRANSMIT_BUCKETS = 1,    /* sequence[hash of the flow modulo length] */
	HL_TRANSMIT_ROUND_ROBIN = 2, /* the next of the sequence, for each CPU */
	HL_TRANSMIT_BROADCAST = 3,  /* a copy to each of the sequence, at most HL_MAX_PORTS */
};

/* What makes a flow (hl_table.hash). */
enum hl_hash {
	HL_HASH_LAYER2 = 0,  /* hardware addresses and ethertype, by the formula of bonding's documentation */
	HL_HASH_LAYER34 = 1, /* the kernel's flow dissector */
};

/* What a port may hand up (hl_rx.receive), bits. */
#define HL_RECEIVE_OWN 0x1       /* frames to the bond's address, and to the port's own where they are readdressed */
#define HL_RECEIVE_OTHER 0x2     /* all others: multicast, broadcast, to other stations */
#define HL_RECEIVE_READDRESS 0x4 /* frames to hl_rx.mac are readdressed to hl_table.bond_mac */

/* A port that frames leave by. */
struct hl_tx {
	__u32 ifindex;
	__u32 counter; /* its index in hl_counters */
};

/*
 * A port that frames come in by. Its place is the first free one from ifindex modulo HL_RX_PLACES on, wrapping around;
 * a free place has ifindex 0 and ends a search.
 */
struct hl_rx {
	__u32 ifindex;
	__u8 receive;
	__u8 counter; /* its index in hl_counters */
	__u8 mac[6];  /* the port's own address */
};

/* One version of the forwarding table. Not changed while it is in force. */
struct hl_table {
	__u64 version;
	__u32 layout;       /* HL_LAYOUT */
	__u32 bond;         /* the bond's ifindex */
	__u8 transmit;      /* enum hl_transmit */
	__u8 hash;          /* enum hl_hash */
	__u16 length;       /* used elements of sequence; 0 only where nothing is transmitted */
	__u8 bond_mac[6];
	__u16 ports;        /* used elements of tx */
	__u32 reserved;
	struct hl_tx tx[HL_MAX_PORTS];
	__u8 sequence[HL_MAX_SEQUENCE]; /* indices into tx; where length is 1, sequence[0] is 0 */
	struct hl_rx rx[HL_RX_PLACES];
};

/*
 * Which table is in force: hl_tables[version modulo HL_SLOTS]. Written after the table and as the last step.
 * The datapath looks at the lowest three bits of the version alone, which are in one byte, so it sees the old version
 * or the new one even where the kernel copies byte by byte.
 */
struct hl_head {
	__u64 version;
	__u32 layout; /* HL_LAYOUT of the datapath */
	__u32 bond;   /* the bond's ifindex */
};

/* What happened to frames. One of these per port and CPU, and one for the bond, in which only `dropped` counts. */
struct hl_counter {
	__u64 sent;     /* given to the port */
	__u64 received; /* handed up to the bond */
	__u64 dropped;  /* a port: not accepted by its receive policy; the bond: there was no port to send by */
	__u64 control;  /* link-local control frames left to the port's own stack */
};

/*
 * The bond that standby.bpf.c hands frames up to. A later daemon does not read it: it replaces the program. Written in
 * place, so an address may be seen half changed; a frame for neither is left to bonding.
 */
struct hl_standby {
	__u32 ifindex;
	__u8 mac[6]; /* zero, which no frame is addressed to, while it is not known */
	__u16 reserved;
};

_Static_assert(sizeof(struct hl_tx) == 8, "hl_tx");
_Static_assert(sizeof(struct hl_rx) == 12, "hl_rx");
_Static_assert(sizeof(struct hl_table) == 1312, "hl_table");
_Static_assert(sizeof(struct hl_head) == 16, "hl_head");
_Static_assert(sizeof(struct hl_counter) == 32, "hl_counter");
_Static_assert(sizeof(struct hl_standby) == 12, "hl_standby");
_Static_assert((HL_SLOTS & (HL_SLOTS - 1)) == 0, "HL_SLOTS is a mask");
_Static_assert((HL_RX_PLACES & (HL_RX_PLACES - 1)) == 0, "HL_RX_PLACES is a mask");
_Static_assert(HL_RX_PLACES > HL_MAX_PORTS, "a search ends at a free place");

#endif
