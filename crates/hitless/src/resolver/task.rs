//! The resolver beside the daemon's loop, on a thread of its own: it waits for disks, other programs and the bus, and no
//! failover waits for those.

use std::collections::HashMap;
use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Dns, Outcome, Places, Resolver, ResolverError, Via};
use crate::causes::chain;

/// What became of a bond's name servers.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which bond.
    pub bond: String,
    /// By which way they are in force; `None` where none are wanted.
    pub outcome: Outcome,
}

/// A resolver that is given orders, and reports. It ends with this, and leaves everything as it is.
#[derive(Debug)]
pub struct ResolverTask {
    orders: mpsc::UnboundedSender<Order>,
    via: watch::Receiver<Option<Via>>,
}

#[derive(Debug)]
enum Order {
    Set(String, u32, Dns),
    Clear(String, u32),
    Retain(Vec<String>),
    Tell(oneshot::Sender<()>),
}

/// It does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system has no thread for it.
    #[error("cannot start a thread for the resolver")]
    Thread(#[from] io::Error),
    /// What is remembered cannot be read.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
}

impl ResolverTask {
    /// Starts it. Reports come where they are wanted; each is told once, until it changes.
    ///
    /// # Errors
    ///
    /// When what earlier daemons have done cannot be read.
    pub fn start(places: Places, reports: mpsc::UnboundedSender<Report>) -> Result<Self, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let resolver = {
            let _within = runtime.enter();
            Resolver::new(places)?
        };
        let (orders, received) = mpsc::unbounded_channel();
        let (sender, via) = watch::channel(resolver.via());
        let worker = Worker { resolver, orders: received, reports, via: sender, told: HashMap::new() };
        thread::Builder::new().name("resolver".to_owned()).spawn(move || runtime.block_on(worker.run()))?;
        Ok(Self { orders, via })
    }

    /// Name servers of a bond, in the place of those that it had. None are the same as [`clear`](Self::clear).
    pub fn set(&self, bond: &str, index: u32, dns: Dns) {
        self.order(Order::Set(bond.to_owned(), index, dns));
    }

    /// Takes back what a bond has.
    pub fn clear(&self, bond: &str, index: u32) {
        self.order(Order::Clear(bond.to_owned(), index));
    }

    /// Takes back what other bonds than these have: those of earlier daemons that this one does not have.
    pub fn retain(&self, bonds: Vec<String>) {
        self.order(Order::Retain(bonds));
    }

    /// Waits until everything is done, or has failed, that was ordered before.
    pub async fn settled(&self) {
        let (sender, done) = oneshot::channel();
        self.order(Order::Tell(sender));
        // Where it has ended, nothing more will come of it.
        let _ = done.await;
    }

    /// By what the name servers of bonds are in force.
    pub fn via(&self) -> Option<Via> {
        *self.via.borrow()
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::warn!("the resolver has ended, and name servers stay as they are: restart the daemon");
        }
    }
}

struct Worker {
    resolver: Resolver,
    orders: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::UnboundedSender<Report>,
    via: watch::Sender<Option<Via>>,
    /// What was reported last.
    told: HashMap<String, String>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let outcomes = tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return,
                },
                () = self.resolver.changed() => self.resolver.check().await,
            };
            self.via.send_replace(self.resolver.via());
            for (bond, outcome) in outcomes {
                self.report(bond, outcome);
            }
        }
    }

    async fn carry_out(&mut self, order: Order) -> Vec<(String, Outcome)> {
        match order {
            Order::Set(bond, index, dns) => {
                let outcome = self.resolver.set(&bond, index, &dns).await;
                vec![(bond, outcome)]
            }
            Order::Clear(bond, index) => {
                let outcome = self.resolver.clear(&bond, index).await.map(|()| None);
                vec![(bond, outcome)]
            }
            Order::Retain(bonds) => self.resolver.retain(&bonds).await,
            Order::Tell(sender) => {
                // Nobody waits any more? Then nobody needs to know.
                let _ = sender.send(());
                Vec::new()
            }
        }
    }

    fn report(&mut self, bond: String, outcome: Outcome) {
        let text = match &outcome {
            Ok(via) => via.map_or("", Via::as_str).to_owned(),
            Err(error) => chain(error),
        };
        if self.told.insert(bond.clone(), text.clone()).as_ref() != Some(&text) {
            // Where nobody listens, nobody needs to know.
            let _ = self.reports.send(Report { bond, outcome });
        }
    }
}
