//! A laptop in a home with Wi-Fi: real 802.11 between hostapd and wpa_supplicant, over radios that mac80211_hwsim makes.
//!
//! ```text
//!   laptop                         home                       router
//!   eth0 ──────────────────── swp0 ┐
//!                                  ├ br0 uplink0 ──────────── lan0   192.168.1.1/24, fd00:1::1/64
//!   wlan0 ((·  802.11   ·)) ap0,… ┘
//!                  phone
//!   wlan0 ((·    )) a station of its own, 192.168.1.N
//! ```
//!
//! It is [`Home`] with its second link replaced by a radio, and access points on the switch. It exists in a guest of
//! [`crate::qemu`] only: the machine's own Wi-Fi is none of the laboratory's business. Everything that is started here
//! ends when its value is dropped, and the radios with the [`WifiHome`].

mod access_point;
mod certificates;
mod control;
mod network;
mod radio;
mod supplicant;

use std::cell::{Cell, RefCell};

pub use access_point::AccessPoint;
pub use certificates::{Authority, Certificate};
pub use network::{Eap, Network, Security};
pub use radio::Radio;
pub use supplicant::{Control, Supplicant};

use crate::error::{LabError, Result};
use crate::netns::Namespace;
use crate::topology::{Home, HomeOptions};
use radio::Radios;

/// How the home is built.
#[derive(Clone, Debug)]
pub struct WifiOptions {
    /// How many radios there are in all: the laptop's, and one for each access point and each further station.
    pub radios: u8,
    /// The wired half.
    pub home: HomeOptions,
}

impl Default for WifiOptions {
    fn default() -> Self {
        Self { radios: 4, home: HomeOptions::default() }
    }
}

/// A laptop with a cable and a radio, a switch with access points, and a router.
#[derive(Debug)]
pub struct WifiHome {
    /// The wired half: the laptop's eth0, the switch, the router. Its [`Home::pull`] and [`Home::plug`] are for `eth0`.
    pub home: Home,
    /// The laptop's wlan0.
    pub radio: Radio,
    spare: RefCell<Vec<Radio>>,
    access_points: Cell<u8>,
    // Last, for what is dropped before gives its radios back.
    _radios: Radios,
}

impl WifiHome {
    /// Builds it; nobody is on the air yet.
    ///
    /// # Errors
    ///
    /// Outside of a guest with Wi-Fi, without a radio for the laptop, and whatever [`Home::new`] fails with.
    pub fn new(options: WifiOptions) -> Result<Self> {
        let (radios, mut spare) = Radios::load(options.radios)?;
        let home = Home::new(options.home)?;
        home.vanish("wlan0")?;
        // Taken from the end: the laptop has the first.
        spare.reverse();
        let radio = spare.pop().ok_or_else(no_radio)?;
        radio.give(&home.laptop, "wlan0")?;
        Ok(Self { home, radio, spare: RefCell::new(spare), access_points: Cell::new(0), _radios: radios })
    }

    /// Starts an access point on the switch, on a radio of its own, and waits until it is on the air. The first one's
    /// interface is `ap0`, the next one's `ap1`. Several with the same network name make a network to roam in.
    ///
    /// # Errors
    ///
    /// When there is no radio left, or hostapd is missing or refuses the network.
    pub fn access_point(&self, network: Network) -> Result<AccessPoint<'_>> {
        let n = self.access_points.get();
        self.access_points.set(n + 1);
        let interface = format!("ap{n}");
        let radio = self.take_radio()?;
        radio.give(&self.home.switch, &interface)?;
        AccessPoint::start(&self.home.switch, radio, &interface, network)
    }

    /// A further station: a host with a radio, `wlan0`, which is up, never sleeps, and has the addresses of host `n` of the
    /// segment (2 to 254; 5 is the laptop). A [`Supplicant`] makes it join a network.
    ///
    /// # Errors
    ///
    /// When there is no radio left.
    pub fn station(&self, role: &str, n: u8) -> Result<(Namespace, Radio)> {
        let radio = self.take_radio()?;
        let host = Namespace::new(role)?;
        for which in ["default", "all"] {
            host.sysctl(&format!("net.ipv6.conf.{which}.accept_dad"), "0")?;
        }
        radio.give(&host, "wlan0")?;
        self.address(&host, "wlan0", n)?;
        // An access point keeps only a few frames for one that sleeps: on a slow machine that would be a loss.
        host.run(&["iw", "dev", "wlan0", "set", "power_save", "off"])?;
        Ok((host, radio))
    }

    /// Gives the laptop another radio, with an interface of this name, which is down.
    ///
    /// # Errors
    ///
    /// When there is no radio left, or an interface of that name.
    pub fn second_radio(&self, name: &str) -> Result<Radio> {
        let radio = self.take_radio()?;
        radio.give(&self.home.laptop, name)?;
        Ok(radio)
    }

    /// Gives an interface the addresses of host `n` of the segment, and switches it on.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or it has them.
    pub fn address(&self, host: &Namespace, interface: &str, n: u8) -> Result<()> {
        host.ip(&format!("address add {}/24 dev {interface}", Home::ipv4(0, n)))?;
        host.ip(&format!("address add {}/64 dev {interface} nodad", Home::ipv6(0, n)))?;
        host.ip(&format!("link set {interface} up")).map(drop)
    }

    /// Takes the laptop's radio out, as one pulls a USB stick: wlan0 is gone.
    ///
    /// # Errors
    ///
    /// When it is out already.
    pub fn unplug_radio(&self) -> Result<()> {
        self.radio.take_back(&self.home.laptop)
    }

    /// Puts it back: a new interface wlan0, down.
    ///
    /// # Errors
    ///
    /// When it is in.
    pub fn plug_radio(&self) -> Result<()> {
        self.radio.give(&self.home.laptop, "wlan0")
    }

    fn take_radio(&self) -> Result<Radio> {
        self.spare.borrow_mut().pop().ok_or_else(no_radio)
    }
}

fn no_radio() -> LabError {
    LabError::Broken("no radio is left: ask for more in WifiOptions".to_owned())
}
