//! What servers' words lead to. Only an answer to the question that is being asked leads anywhere: RFC 2131
//! figure 5 discards all others, such as a second offer or a late acknowledgement.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::neighbours::Probing;
use super::outbox::Exchange;
use super::{Client, Offer, Phase, Requesting, State};
use crate::dhcp::event::{Cause, Confirmation, Notice};
use crate::dhcp::lease::Lease;
use crate::dhcp::reply::{self, Body, Reply, Terms, Unacceptable};
use crate::time::Instant;

/// How long an offer of another address than the wanted one waits: a server that has nothing to look up has answered.
const OFFER_PATIENCE: Duration = Duration::from_millis(250);
/// The wait after a server has refused for the second time in a row what it had offered; doubled each time.
const NAK_WAIT: Duration = Duration::from_secs(1);
const LONGEST_NAK_WAIT: Duration = Duration::from_secs(64);

impl Client {
    pub(super) fn received(&mut self, now: Instant, payload: &[u8], from: Ipv4Addr) {
        let Some(mac) = self.out.mac else { return };
        let chaddr = self.out.options.chaddr.unwrap_or(mac);
        let client_id = self.out.options.client_id.octets(chaddr);
        let Some(reply) = reply::read(payload, chaddr, &client_id) else { return };
        if self.exchange().is_none_or(|exchange| exchange.tries == 0 || exchange.xid != reply.xid) {
            return;
        }
        let Reply { server, body, .. } = reply;
        match body {
            Body::Offer(Ok(terms)) => self.offered(now, Offer { address: terms.parameters.address, server }),
            Body::Ack(Ok(terms)) => self.acknowledged(now, terms, server),
            Body::Offer(Err(why)) | Body::Ack(Err(why)) => self.complain(from, why),
            Body::Nak => self.refused(now, server),
        }
    }

    /// The question that is being asked.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            State::Released | State::Init { .. } | State::Probing(_) => None,
            State::Selecting(selecting) => Some(&selecting.exchange),
            State::Requesting(requesting) => Some(&requesting.exchange),
            State::Holding(holding) => match &holding.phase {
                Phase::Unchecked(_) | Phase::Bound => None,
                Phase::Checking(check) => Some(&check.exchange),
                Phase::Renewing(exchange) | Phase::Rebinding(exchange) => Some(exchange),
            },
        }
    }

    /// The first offer is taken, but where an address is wanted again, its server gets a moment to offer that.
    fn offered(&mut self, now: Instant, offer: Offer) {
        let State::Selecting(selecting) = &mut self.state else { return };
        if self.wanted.is_none_or(|wanted| wanted == offer.address) {
            self.request(now, offer);
        } else if selecting.second_best.is_none() {
            selecting.second_best = Some((offer, now + OFFER_PATIENCE));
        }
    }

    pub(super) fn request(&mut self, now: Instant, offer: Offer) {
        let State::Selecting(selecting) = &self.state else { return };
        let exchange = selecting.exchange.follow_up(now);
        self.state = State::Requesting(Requesting { exchange, offer });
    }

    fn acknowledged(&mut self, now: Instant, terms: Terms, server: Ipv4Addr) {
        match &mut self.state {
            State::Released | State::Init { .. } | State::Selecting(_) | State::Probing(_) => {}
            State::Requesting(requesting) => {
                let lent = Offer { address: terms.parameters.address, server };
                if requesting.offer == lent {
                    let obtained = requesting.exchange.asked;
                    self.obtained(now, obtained, terms, server);
                }
            }
            State::Holding(holding) => {
                let extends = terms.parameters.address == holding.lease.parameters.address;
                let is_asked = match &holding.phase {
                    Phase::Unchecked(_) | Phase::Bound => false,
                    Phase::Checking(_) | Phase::Rebinding(_) => true,
                    Phase::Renewing(_) => server == holding.lease.server,
                };
                if extends && is_asked {
                    self.extended(now, terms, server);
                }
            }
        }
    }

    /// An address that we did not have.
    fn obtained(&mut self, now: Instant, obtained: Instant, terms: Terms, server: Ipv4Addr) {
        let Terms { parameters, lifetime, guessed_mask } = terms;
        if guessed_mask {
            let (address, prefix_len) = (parameters.address, parameters.prefix_len);
            self.notices.push_back(Notice::NoMask { address, prefix_len });
        }
        let lease = Lease { parameters, server, obtained, lifetime, gateway_mac: None };
        if self.out.options.detect_conflicts {
            let probing = Probing::new(now, lease, &mut self.out.random);
            self.state = State::Probing(Box::new(probing));
        } else {
            self.bind(now, lease);
        }
    }

    /// The address that we have is lent anew.
    fn extended(&mut self, now: Instant, terms: Terms, server: Ipv4Addr) {
        let Some(asked) = self.exchange().map(|exchange| exchange.asked) else { return };
        let State::Holding(holding) = &mut self.state else { return };
        let Terms { parameters, lifetime, guessed_mask: _ } = terms;
        let address = parameters.address;
        let same_gateway = holding.lease.parameters.gateway() == parameters.gateway();
        let gateway_mac = holding.lease.gateway_mac.filter(|_| same_gateway);
        holding.lease = Lease { parameters, server, obtained: asked, lifetime, gateway_mac };
        let lifetime = holding.lease.lifetime.map(|lifetime| lifetime.total);
        let before = std::mem::replace(&mut holding.phase, Phase::Bound);
        self.notices.extend(match before {
            Phase::Checking(check) => {
                // It may be another gateway with the same address.
                holding.learn(now);
                Some(if check.confirmed {
                    Notice::Renewed { address, lifetime }
                } else {
                    Notice::Confirmed { address, by: Confirmation::Server(server) }
                })
            }
            Phase::Renewing(_) => Some(Notice::Renewed { address, lifetime }),
            Phase::Rebinding(_) => Some(Notice::Rebound { address, server, lifetime }),
            Phase::Unchecked(_) | Phase::Bound => None,
        });
        if !same_gateway {
            holding.learn(now);
        }
        self.all_is_well();
    }

    fn refused(&mut self, now: Instant, server: Ipv4Addr) {
        match &self.state {
            State::Released | State::Init { .. } | State::Selecting(_) | State::Probing(_) => {}
            State::Requesting(requesting) => {
                if requesting.offer.server == server {
                    let address = requesting.offer.address;
                    self.notices.push_back(Notice::Nak { server, address });
                    self.begin_after_nak(now);
                }
            }
            State::Holding(holding) => {
                let is_asked = match &holding.phase {
                    Phase::Unchecked(_) | Phase::Bound => false,
                    Phase::Rebinding(_) => true,
                    Phase::Renewing(_) => server == holding.lease.server,
                    // By its gateway, this is the network where the address was lent: only who lent it may refuse it.
                    Phase::Checking(check) => !check.confirmed || server == holding.lease.server,
                };
                if is_asked {
                    let address = holding.lease.parameters.address;
                    self.notices.push_back(Notice::Nak { server, address });
                    self.lose(now, Cause::Nak(server));
                }
            }
        }
    }

    /// A server that goes on offering what it refuses must not be asked as fast as it answers.
    fn begin_after_nak(&mut self, now: Instant) {
        self.wanted = None;
        self.naks = self.naks.saturating_add(1);
        match self.naks.checked_sub(2) {
            Some(more) => {
                let wait = NAK_WAIT.saturating_mul(1 << more.min(6)).min(LONGEST_NAK_WAIT);
                self.state = State::Init { until: now + wait };
            }
            None => self.begin(now),
        }
    }

    fn complain(&mut self, from: Ipv4Addr, why: Unacceptable) {
        if !std::mem::replace(&mut self.refusal_told, true) {
            self.notices.push_back(Notice::Refused { from, why });
        }
    }
}
