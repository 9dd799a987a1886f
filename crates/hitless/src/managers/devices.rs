//! NetworkManager's devices, by D-Bus: which interfaces it manages, and that it lets go of one, or takes it again.
//!
//! What it lets go of in this way keeps its addresses, routes and carrier; what its configuration takes from it does not.

use serde::Serialize;
use tokio::time::timeout;
use zbus::message::Body;
use zbus::{DynamicType, OwnedObjectPath, OwnedVariant, Variant};

use super::KeepError;
use super::bus::{ANSWER, Service};

const MANAGER: (&str, &str) = ("/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager");
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// An interface that NetworkManager knows.
pub(super) struct Device {
    path: OwnedObjectPath,
    /// Its name.
    pub(super) interface: String,
    /// Does NetworkManager manage it?
    pub(super) managed: bool,
}

impl Service {
    /// All that there are.
    pub(super) async fn devices(&self) -> Result<Vec<Device>, KeepError> {
        let failed = |reason| KeepError::Devices { reason };
        let answer = self.call(MANAGER.0, MANAGER.1, "GetDevices", &()).await.map_err(failed)?;
        let paths: Vec<OwnedObjectPath> = answer.deserialize().map_err(|error| failed(error.to_string()))?;
        let mut devices = Vec::new();
        for path in paths {
            match self.device(path).await {
                Ok(device) => devices.push(device),
                Err(reason) => tracing::debug!("a device of NetworkManager is gone by now: {reason}"),
            }
        }
        Ok(devices)
    }

    async fn device(&self, path: OwnedObjectPath) -> Result<Device, String> {
        let interface = self.property(&path, "Interface").await?;
        let managed = self.property(&path, "Managed").await?;
        Ok(Device { path, interface, managed })
    }

    async fn property<T: TryFrom<OwnedVariant>>(
        &self,
        path: &OwnedObjectPath,
        name: &str,
    ) -> Result<T, String> {
        let answer = self.call(path.as_str(), PROPERTIES, "Get", &(DEVICE, name)).await?;
        let value: OwnedVariant = answer.deserialize().map_err(|error| error.to_string())?;
        T::try_from(value).map_err(|_| format!("its {name} is something else than expected"))
    }

    /// Makes it manage this one, or let go of it.
    pub(super) async fn manage(&self, device: &Device, managed: bool) -> Result<(), KeepError> {
        let arguments = (DEVICE, "Managed", Variant::from(managed));
        let done = self.call(device.path.as_str(), PROPERTIES, "Set", &arguments).await;
        let failed = |reason| KeepError::Device { device: device.interface.clone(), managed, reason };
        done.map(drop).map_err(failed)
    }

    async fn call(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &(impl Serialize + DynamicType),
    ) -> Result<Body, String> {
        let owner = Some(self.owner.as_str());
        let call = self.connection.call_method(owner, path, Some(interface), method, arguments);
        let answer = timeout(ANSWER, call).await.map_err(|_| "it does not answer".to_owned())?;
        answer.map(|message| message.body()).map_err(|error| error.to_string())
    }
}
