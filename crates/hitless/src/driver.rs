//! Drivers: what carries frames for a bond, and how a machine's actions are carried out on it.
//!
//! Each driver makes a bond, or adopts the one that an earlier daemon left, and leaves it forwarding when it is dropped.
//! What to do is decided by the machine; when to do it, by the daemon's loop.

mod addr_gen_mode;
mod claim;
pub mod ebpf;
pub mod kernel;
mod port;

use std::cell::RefCell;
use std::rc::Rc;

use hitless_core::config::{BondConfig, FailOverMac, Mode};
use hitless_core::event::{Action, Failure, Observation, Offload, Outcome, PortId};
use hitless_core::mac::MacAddr;
use hitless_linux::bond::Support;
use hitless_linux::ebpf::DatapathError;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::netlink::Netlink;
use hitless_linux::wireless::{InterfaceKind, Wireless};

use crate::causes::chain;
use crate::config::{Bond, DriverChoice, MacChoice};
use crate::ledger::{Ledger, LedgerError};
use ebpf::EbpfDriver;
use kernel::KernelDriver;

/// Switches a bond on, unless it is on. Its link-local address is made at that moment, so how has to be known before. One
/// that is on already keeps what it has, unless the configuration says how addresses are to be made.
async fn switch_on(tools: &Tools, config: &Bond, link: &Link) -> Result<(), DriverError> {
    if !link.admin_up || config.ip.addr_gen_mode.is_some() {
        Driver::choose_addr_gen_mode(config)?;
    }
    if !link.admin_up {
        tools.netlink.set_up(link.index, true).await?;
    }
    Ok(())
}

/// What every driver works with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The connection to the kernel.
    pub netlink: Netlink,
    /// What ports were like when they were found.
    pub ledger: Rc<RefCell<Ledger>>,
    /// The connection to the part of the kernel that knows of Wi-Fi.
    pub wireless: Rc<Wireless>,
}

impl Tools {
    /// Gives an interface this address. Some Wi-Fi drivers take it while the interface is on; but its supplicant would go on
    /// with the old one, and would hear no answer any more.
    async fn set_port_mac(&self, index: u32, mac: MacAddr) -> Result<(), RequestError> {
        let wireless = self.wireless_kind(index).is_some();
        if wireless && self.is_on(index).await? {
            return self.netlink.set_mac_while_off(index, mac).await;
        }
        self.netlink.set_mac_even_if_busy(index, mac).await?;
        if wireless && self.is_on(index).await? {
            // A supplicant has just switched it on, and may have read its address before.
            return self.netlink.set_mac_while_off(index, mac).await;
        }
        Ok(())
    }

    async fn is_on(&self, index: u32) -> Result<bool, RequestError> {
        Ok(self.netlink.link(index).await?.is_some_and(|link| link.admin_up))
    }

    /// Is it a Wi-Fi interface, and of which kind? `None` where it is none.
    pub fn wireless_kind(&self, index: u32) -> Option<InterfaceKind> {
        self.wireless.interface(index).ok().flatten().map(|interface| interface.kind)
    }
}

/// Why a driver could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Another daemon has the bond.
    #[error(
        "another daemon, on another socket, has the bond {bond}: end it first, or give this bond another name"
    )]
    OtherDaemon {
        /// The bond.
        bond: String,
    },
    /// It cannot be told whether another daemon has the bond.
    #[error("cannot claim the bond {bond} for this daemon")]
    Claim {
        /// The bond.
        bond: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// There is another interface of the bond's name.
    #[error(
        "there is an interface {name} already ({kind}), and it is not a bond of hitless: \
         give the bond another name, or remove the interface (ip link delete {name})"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Its kind, or "a device".
        kind: String,
    },
    /// The interface belongs to something else.
    #[error(
        "{port} is already a port of {master} ({kind}): take it out first (ip link set {port} nomaster), \
         or leave it out of the configuration"
    )]
    PortTaken {
        /// The interface.
        port: String,
        /// What it belongs to.
        master: String,
        /// Of which kind that is.
        kind: String,
    },
    /// The interface is in another of our bonds.
    #[error("{port} is a port of {bond} still: take it out there first (hitless port remove {bond} {port})")]
    PortOfOther {
        /// The interface.
        port: String,
        /// The other bond.
        bond: String,
    },
    /// Another interface stands on this one.
    #[error(
        "{upper} stands on {port}, and would hear nothing any more: make it on the bond instead (ip link delete {upper}), \
         or leave {port} out of the configuration"
    )]
    PortBelow {
        /// The interface.
        port: String,
        /// The VLAN or macvlan on it.
        upper: String,
    },
    /// The interface cannot carry a bond's frames.
    #[error("{port} cannot be a port: {reason}")]
    NotAPort {
        /// The interface.
        port: String,
        /// Why.
        reason: &'static str,
    },
    /// The interface keeps the address that it has.
    #[error(
        "{port} refuses the bond's address, which fail-over-mac = \"none\" gives to all ports: use \"auto\" or \"active\""
    )]
    AddressRefused {
        /// The interface.
        port: String,
        /// What the kernel said.
        source: RequestError,
    },
    /// The interface is gone.
    #[error("the interface with index {0} is gone")]
    Gone(u32),
    /// This kernel has no bonding driver.
    #[error(
        "this kernel has no bonding driver ({0}): use driver = \"ebpf\", or load the module (modprobe bonding)"
    )]
    NoBonding(String),
    /// The kernel refused a request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The datapath failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A setting of the kernel could not be read or written.
    #[error("cannot change the settings of {port}")]
    Setting {
        /// The interface.
        port: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self(chain(&error))
    }
}

/// The driver of one bond.
#[derive(Clone, Debug)]
pub enum Driver {
    /// Linux bonding.
    Kernel(Rc<KernelDriver>),
    /// Our own datapath.
    Ebpf(Rc<EbpfDriver>),
}

impl Driver {
    /// Makes the bond, or adopts it. A bond that could only be made in part is removed again.
    ///
    /// # Errors
    ///
    /// See [`DriverError`]; nothing has changed then.
    pub async fn open(bond: &Bond, tools: &Tools) -> Result<Self, DriverError> {
        let claim = claim::claim(&bond.name)?;
        match resolve_present(bond, tools).await? {
            Resolved::Kernel => Ok(Self::Kernel(Rc::new(KernelDriver::open(bond, tools, claim).await?))),
            Resolved::Ebpf => Ok(Self::Ebpf(Rc::new(EbpfDriver::open(bond, tools, claim).await?))),
        }
    }

    /// Removes a bond that an earlier daemon left, if it is there, and gives its ports back as they were found.
    /// Says whether it was there.
    ///
    /// # Errors
    ///
    /// As [`Driver::open`] and [`Driver::remove`]; among others where it is not one of ours.
    pub async fn remove_orphan(name: &str, tools: &Tools) -> Result<bool, DriverError> {
        let Some(link) = tools.netlink.link_named(name).await? else { return Ok(false) };
        let by_kernel = link.kind.as_deref() == Some("bond");
        let driver = if by_kernel { DriverChoice::Kernel } else { DriverChoice::Ebpf };
        let (fail_over_mac, ip) = Default::default();
        // It is adopted first, which it is not with another mode than it has.
        let mode = link.bond.as_ref().and_then(|bond| kernel::mode(bond)).unwrap_or_default();
        let options = BondConfig { mode, ..BondConfig::default() };
        Self::open(&Bond { name: name.to_owned(), driver, fail_over_mac, options, ip }, tools)
            .await?
            .remove()
            .await?;
        Ok(true)
    }

    /// Gives the ports of a bond back whose interface is gone, as the ledger says; but for the addresses and routes that went
    /// with it, of which it does not say enough.
    ///
    /// # Errors
    ///
    /// The first failure; everything else is given back all the same, and what is not stays in the ledger.
    pub async fn give_ports_back(bond: &str, tools: &Tools) -> Result<(), DriverError> {
        if tools.ledger.borrow().ports(bond).is_empty() {
            return Ok(());
        }
        let _claim = claim::claim(bond)?;
        port::give_back_without_bond(tools, bond).await
    }

    /// What it is called in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Ebpf(_) => "ebpf",
        }
    }

    /// What it does by itself.
    pub fn offload(&self) -> Offload {
        match self {
            Self::Kernel(driver) => {
                let leads = driver.mode() == Mode::ActiveBackup;
                Offload { macs: true, notifications: leads, carrier: true, forwarding: !leads }
            }
            Self::Ebpf(_) => Offload::default(),
        }
    }

    /// The interface index of the bond.
    pub fn index(&self) -> u32 {
        match self {
            Self::Kernel(driver) => driver.index(),
            Self::Ebpf(driver) => driver.index(),
        }
    }

    /// Was the bond made by this daemon, and not adopted?
    pub fn was_made(&self) -> bool {
        match self {
            Self::Kernel(driver) => driver.was_made(),
            Self::Ebpf(driver) => driver.was_made(),
        }
    }

    /// Is it the one that this choice means?
    pub fn is(&self, choice: DriverChoice) -> bool {
        match (self, choice) {
            (Self::Kernel(_), DriverChoice::Kernel)
            | (Self::Ebpf(_), DriverChoice::Ebpf)
            | (_, DriverChoice::Auto) => true,
            (Self::Kernel(_), DriverChoice::Ebpf) | (Self::Ebpf(_), DriverChoice::Kernel) => false,
        }
    }

    /// Does what can be done at once, in microseconds; `None`: it takes a request, see [`Driver::perform`].
    ///
    /// This is the failover path of the ebpf driver.
    pub fn perform_now(&self, action: &Action) -> Option<Result<Outcome, Failure>> {
        match (self, action) {
            (Self::Ebpf(driver), Action::Program(table)) => {
                Some(driver.program(table).map(|()| Outcome::Done).map_err(Failure::from))
            }
            _ => None,
        }
    }

    /// Is sending on this port the driver's business? Then [`Action::Send`] goes to [`Driver::perform`].
    pub fn sends(&self, port: PortId) -> bool {
        match self {
            Self::Kernel(driver) => driver.is_first_question(port),
            Self::Ebpf(_) => false,
        }
    }

    /// Does what concerns the bond and its ports' place in it.
    ///
    /// # Errors
    ///
    /// Nothing has changed then, as far as that can be. [`DriverError::AddressRefused`] can be helped by another
    /// `fail-over-mac`.
    pub async fn perform(&self, action: Action) -> Result<Outcome, DriverError> {
        match self {
            Self::Kernel(driver) => driver.perform(action).await?,
            Self::Ebpf(driver) => driver.perform(action).await?,
        }
        Ok(Outcome::Done)
    }

    /// What the bond has.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked, or the bond is gone.
    pub async fn observe(&self) -> Result<Observation, DriverError> {
        match self {
            Self::Kernel(driver) => driver.observe().await,
            Self::Ebpf(driver) => driver.observe().await,
        }
    }

    /// Carries options over to the bond that the machine does not deal with.
    ///
    /// # Errors
    ///
    /// When the kernel refuses one.
    pub async fn configure(&self, bond: &Bond) -> Result<(), DriverError> {
        match self {
            Self::Kernel(driver) => driver.configure(bond).await,
            Self::Ebpf(driver) => driver.configure(bond).await,
        }
    }

    /// Has the bond's own IPv6 addresses made as the configuration says, from now on.
    ///
    /// # Errors
    ///
    /// When the kernel's settings cannot be written.
    pub fn choose_addr_gen_mode(bond: &Bond) -> Result<(), DriverError> {
        Ok(addr_gen_mode::choose(&bond.name, bond.ip.addr_gen_mode)?)
    }

    /// Gives all ports back as they were found, and removes the bond.
    ///
    /// # Errors
    ///
    /// The first failure; everything else is given back all the same.
    pub async fn remove(&self) -> Result<(), DriverError> {
        match self {
            Self::Kernel(driver) => driver.remove().await,
            Self::Ebpf(driver) => driver.remove().await,
        }
    }
}

/// A driver that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Linux bonding.
    Kernel,
    /// Our own datapath.
    Ebpf,
}

/// Chooses a driver: the kernel's bonding where it is there, our own otherwise.
pub fn resolve(choice: DriverChoice) -> Resolved {
    match choice {
        DriverChoice::Kernel => Resolved::Kernel,
        DriverChoice::Ebpf => Resolved::Ebpf,
        DriverChoice::Auto if hitless_linux::bond::support() != Support::Missing => Resolved::Kernel,
        DriverChoice::Auto => Resolved::Ebpf,
    }
}

/// Chooses a driver for a bond that may be there already: it keeps the one that it has, whatever was installed since.
async fn resolve_present(bond: &Bond, tools: &Tools) -> Result<Resolved, DriverError> {
    let present = match bond.driver {
        DriverChoice::Auto => tools.netlink.link_named(&bond.name).await?,
        DriverChoice::Kernel | DriverChoice::Ebpf => None,
    };
    Ok(match present.as_ref().and_then(|link| link.kind.as_deref()) {
        Some("bond") => Resolved::Kernel,
        Some("veth") => Resolved::Ebpf,
        Some(_) | None => resolve(bond.driver),
    })
}

/// Why two radios are not given one address.
pub const TWO_RADIOS: &str =
    "it has two Wi-Fi ports, and at one access point two stations with one address would push each other out";

/// Which `fail-over-mac` to begin with: the one that is configured; where that is to be found out, one address for all,
/// unless there are two radios, or the bond is there already and its ports have addresses of their own. Then why.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub async fn fail_over_mac(bond: &Bond, tools: &Tools) -> Result<(FailOverMac, Option<String>), DriverError> {
    match bond.fail_over_mac {
        MacChoice::Fixed(policy) => return Ok((policy, None)),
        MacChoice::Auto => {}
    }
    // Where all ports are in use, what is for the bond may come in on any.
    if !bond.options.mode.has_active_port() {
        return Ok((FailOverMac::None, None));
    }
    let links = tools.netlink.links().await?;
    let wanted = links.iter().filter(|link| bond.options.preference(&link.name).is_some());
    if wanted.filter(|link| tools.wireless_kind(link.index) == Some(InterfaceKind::Station)).count() > 1 {
        return Ok((FailOverMac::Active, Some(TWO_RADIOS.to_owned())));
    }
    let shared = Ok((FailOverMac::None, None));
    let Some(own) = links.iter().find(|link| link.name == bond.name) else { return shared };
    let entered = tools.ledger.borrow().ports(&bond.name);
    for (index, _) in entered.into_iter().filter(|(_, found)| !found.left) {
        if links.iter().any(|port| port.index == index && port.mac != own.mac) {
            let why = "its ports had addresses of their own when it was taken over".to_owned();
            return Ok((FailOverMac::Active, Some(why)));
        }
    }
    shared
}

/// Can this interface be a port of that bond (its index, 0 where it is not there yet)?
///
/// # Errors
///
/// Why not, and what to do about it.
pub async fn check_port(tools: &Tools, bond: &Bond, index: u32, link: &Link) -> Result<(), DriverError> {
    port::check(tools, port::For { bond: &bond.name, index, terms: port::Terms::of(bond) }, link).await
}

/// An action that is not the driver's business ended up here.
fn misplaced(action: &Action) -> DriverError {
    debug_assert!(false, "{action:?} is not for the driver");
    DriverError::NotAPort { port: format!("{action:?}"), reason: "this action is not for the driver" }
}
