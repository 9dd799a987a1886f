//! A wpa_supplicant that only pretends: real sockets, no radio. It answers as the real one does (its replies are
//! modelled on those in `fixtures`), and says unasked what the test tells it to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hitless::wifi::supplicant::process::{Options, Supplicant};
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The directory with everything, and the pretended process, if it runs.
pub(crate) struct Fake {
    pub(crate) directory: TempDir,
    state: Arc<Mutex<State>>,
    running: Vec<AbortHandle>,
    heard: Arc<Notify>,
}

/// A network of the pretended wpa_supplicant.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeNetwork {
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) flags: &'static str,
    pub(crate) enabled: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) interfaces: Vec<String>,
    pub(crate) networks: BTreeMap<u32, FakeNetwork>,
    /// What `STATUS` answers.
    pub(crate) status: String,
    /// What `BSS` answers, by what it asks for.
    pub(crate) bss: Vec<(&'static str, &'static str)>,
    /// All requests, in their order.
    pub(crate) log: Vec<String>,
    /// What begins like this is answered like that, before anything else; `None`: not at all.
    pub(crate) answers: Vec<(&'static str, Option<Vec<u8>>)>,
    attached: Vec<(PathBuf, Arc<UnixDatagram>)>,
    next: u32,
}

pub(crate) const DISCONNECTED: &str = "wpa_state=DISCONNECTED\naddress=02:00:00:00:00:00\n";
pub(crate) const JOINED: &str = "bssid=02:00:00:00:01:00\nfreq=2412\nssid=home\nid=0\nid_str=hitless\nmode=station\n\
    pairwise_cipher=CCMP\ngroup_cipher=CCMP\nkey_mgmt=WPA2-PSK\nwpa_state=COMPLETED\naddress=02:00:00:00:00:00\n";

impl Fake {
    /// Pretends to run in a directory of its own.
    pub(crate) fn start() -> Self {
        let mut fake = Self::stopped();
        fake.resume();
        fake
    }

    /// Does not run yet.
    pub(crate) fn stopped() -> Self {
        let state = State { status: DISCONNECTED.to_owned(), ..State::default() };
        let heard = Arc::new(Notify::new());
        Self {
            directory: TempDir::new().unwrap(),
            state: Arc::new(Mutex::new(state)),
            running: Vec::new(),
            heard,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The handle on it; no real program can be started by that.
    pub(crate) fn supplicant(&self) -> Supplicant {
        let program = Some(self.path().join("no-such-program"));
        let existing = self.path().join("existing");
        Supplicant::with_options(self.path(), Options { program, driver: "nl80211", existing })
    }

    /// Runs (again).
    pub(crate) fn resume(&mut self) {
        std::fs::create_dir_all(self.path().join("control")).unwrap();
        self.serve(&self.path().join("global"));
    }

    /// Listens on a socket for an interface, as for one that somebody else started.
    pub(crate) fn serve_existing(&mut self, name: &str) {
        let directory = self.path().join("existing");
        std::fs::create_dir_all(&directory).unwrap();
        self.serve(&directory.join(name));
    }

    /// Ends without a word, and forgets everything.
    pub(crate) fn die(&mut self) {
        self.running.drain(..).for_each(|task| task.abort());
        for name in ["global", "control/wlan0"] {
            drop(std::fs::remove_file(self.path().join(name)));
        }
        let mut state = self.state();
        state.interfaces.clear();
        state.networks.clear();
        state.attached.clear();
        state.status = DISCONNECTED.to_owned();
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Says something unasked.
    pub(crate) fn say(&self, text: &str) {
        for (client, socket) in &self.state().attached {
            // A client may be gone by now.
            drop(socket.try_send_to(text.as_bytes(), client));
        }
    }

    /// Returns when a request has come that begins like this, from the start or since.
    pub(crate) async fn asked(&self, start: &str) -> String {
        loop {
            let notified = self.heard.notified();
            let found = self.state().log.iter().rev().find(|line| line.starts_with(start)).cloned();
            match found {
                Some(line) => return line,
                None => notified.await,
            }
        }
    }

    fn serve(&mut self, path: &Path) {
        drop(std::fs::remove_file(path));
        let socket = Arc::new(UnixDatagram::bind(path).unwrap());
        let state = Arc::clone(&self.state);
        let heard = Arc::clone(&self.heard);
        let control = self.path().join("control");
        let task = tokio::spawn(async move {
            let mut interface: Option<Arc<UnixDatagram>> = None;
            let (mut one, mut two) = (vec![0; 8192], vec![0; 8192]);
            loop {
                let (length, client, socket, buffer) = tokio::select! {
                    received = socket.recv_from(&mut one) => {
                        let (length, client) = received.unwrap();
                        (length, client, &socket, &one)
                    }
                    received = receive(interface.as_ref(), &mut two) => {
                        let (length, client) = received;
                        (length, client, interface.as_ref().unwrap(), &two)
                    }
                };
                let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let client = client.as_pathname().unwrap().to_owned();
                let reply = {
                    let mut state = state.lock().unwrap();
                    state.log.push(request.clone());
                    state.answer(&request, &client, socket)
                };
                if let Some(reply) = reply {
                    drop(socket.try_send_to(&reply, &client));
                }
                let added = !state.lock().unwrap().interfaces.is_empty();
                if added && interface.is_none() {
                    drop(std::fs::remove_file(control.join("wlan0")));
                    interface = Some(Arc::new(UnixDatagram::bind(control.join("wlan0")).unwrap()));
                } else if !added && interface.is_some() {
                    interface = None;
                    drop(std::fs::remove_file(control.join("wlan0")));
                }
                heard.notify_waiters();
            }
        });
        self.running.push(task.abort_handle());
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.running.drain(..).for_each(|task| task.abort());
    }
}

async fn receive(
    socket: Option<&Arc<UnixDatagram>>,
    buffer: &mut [u8],
) -> (usize, tokio::net::unix::SocketAddr) {
    match socket {
        Some(socket) => socket.recv_from(buffer).await.unwrap(),
        None => std::future::pending().await,
    }
}

impl State {
    fn answer(&mut self, request: &str, client: &Path, socket: &Arc<UnixDatagram>) -> Option<Vec<u8>> {
        if let Some((_, answer)) = self.answers.iter().find(|(start, _)| request.starts_with(start)) {
            return answer.clone();
        }
        let (command, arguments) = request.split_once(' ').unwrap_or((request, ""));
        let id = || arguments.split(' ').next().unwrap().parse::<u32>().unwrap_or(u32::MAX);
        Some(match command {
            "PING" => "PONG\n".into(),
            "ATTACH" => {
                self.attached.push((client.to_owned(), Arc::clone(socket)));
                "OK\n".into()
            }
            "STATUS" => self.status.clone().into(),
            "INTERFACES" => self.interfaces.iter().map(|name| format!("{name}\n")).collect::<String>().into(),
            "INTERFACE_ADD" => {
                let name = arguments.split('\t').next().unwrap().to_owned();
                if self.interfaces.contains(&name) {
                    return Some("FAIL\n".into());
                }
                self.interfaces.push(name);
                "OK\n".into()
            }
            "INTERFACE_REMOVE" => {
                self.interfaces.retain(|name| name != arguments);
                self.networks.clear();
                self.attached.clear();
                self.status = DISCONNECTED.to_owned();
                "OK\n".into()
            }
            "ADD_NETWORK" => {
                let id = self.next;
                self.next += 1;
                self.networks.insert(id, FakeNetwork::default());
                format!("{id}\n").into()
            }
            "SET_NETWORK" => {
                let mut words = arguments.splitn(3, ' ').skip(1);
                let (key, value) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
                let Some(network) = self.networks.get_mut(&id()) else { return Some("FAIL\n".into()) };
                network.settings.insert(key, value);
                "OK\n".into()
            }
            "GET_NETWORK" => {
                let key = arguments.split(' ').nth(1).unwrap();
                let value = self.networks.get(&id()).and_then(|network| network.settings.get(key));
                value.map_or("FAIL\n".into(), |value| value.clone().into())
            }
            "ENABLE_NETWORK" | "DISABLE_NETWORK" => {
                let Some(network) = self.networks.get_mut(&id()) else { return Some("FAIL\n".into()) };
                let enable = command == "ENABLE_NETWORK";
                if network.enabled != enable {
                    network.flags = "";
                }
                network.enabled = enable;
                "OK\n".into()
            }
            "SELECT_NETWORK" => {
                let chosen = id();
                self.networks.iter_mut().for_each(|(id, network)| network.enabled = *id == chosen);
                "OK\n".into()
            }
            "REMOVE_NETWORK" => {
                if self.networks.remove(&id()).is_none() {
                    return Some("FAIL\n".into());
                }
                "OK\n".into()
            }
            "LIST_NETWORKS" => self.list(arguments).into(),
            "BSS" => {
                let page = self.bss.iter().find(|(range, _)| arguments.starts_with(range));
                page.map_or(Vec::new(), |(_, reply)| (*reply).into())
            }
            "SCAN" | "SET" | "RECONNECT" | "REASSOCIATE" | "DETACH" => "OK\n".into(),
            "DISCONNECT" => {
                self.status = DISCONNECTED.to_owned();
                "OK\n".into()
            }
            "GET" => "FAIL\n".into(),
            _ => "UNKNOWN COMMAND\n".into(),
        })
    }

    fn list(&self, arguments: &str) -> String {
        let after = arguments.strip_prefix("LAST_ID=").map(|id| id.parse::<u32>().unwrap());
        let mut list = "network id / ssid / bssid / flags\n".to_owned();
        for (id, network) in self.networks.iter().filter(|(id, _)| Some(**id) > after) {
            let hex = network.settings.get("ssid").cloned().unwrap_or_default();
            let octets: Vec<u8> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            let flags = if network.enabled { network.flags } else { "[DISABLED]" };
            list += &format!("{id}\t{}\tany\t{flags}\n", String::from_utf8(octets).unwrap());
        }
        list
    }

    /// The network with this name, as it is written in hex digits.
    pub(crate) fn named(&self, ssid: &str) -> Option<(u32, &FakeNetwork)> {
        let hex = hitless::wifi::supplicant::text::hex(ssid.as_bytes());
        self.networks.iter().find(|(_, n)| n.settings.get("ssid") == Some(&hex)).map(|(id, n)| (*id, n))
    }

    /// How often something was asked for that begins like this.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(start)).count()
    }
}
