//! Certificates for 802.1X: an authority, and what it signs for servers and clients, made with openssl.
//!
//! The keys are of the curve P-256: with RSA, an emulated processor would be busy for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{IoContext as _, Result};
use crate::netns::output;
use crate::scratch;

/// What openssl is to write into a certificate, by whom it is for.
const EXTENSIONS: &str = "\
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[client]
basicConstraints = CA:false
extendedKeyUsage = clientAuth
[server]
basicConstraints = CA:false
extendedKeyUsage = serverAuth
";

/// Who signs certificates. Its files, and those of what it has signed, are gone when it is dropped.
#[derive(Debug)]
pub struct Authority {
    directory: tempfile::TempDir,
    own: Certificate,
}

/// A certificate and its key, each in a file of its own (PEM).
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub file: PathBuf,
    /// Its key, not encrypted.
    pub key: PathBuf,
}

impl Authority {
    /// An authority of this name, which signs for itself. One of another name is a foreign one.
    ///
    /// # Errors
    ///
    /// When openssl is missing or fails.
    pub fn new(name: &str) -> Result<Self> {
        let directory = scratch::directory()?;
        let config = directory.path().join("config");
        fs::write(&config, EXTENSIONS).context(|| "writing the configuration of openssl".to_owned())?;
        let own = Certificate::at(directory.path(), "authority");
        output(&mut request(&config, "authority", name, &own))?;
        Ok(Self { directory, own })
    }

    /// Its certificate (PEM), for those who trust it.
    pub fn certificate(&self) -> &Path {
        &self.own.file
    }

    /// A certificate for the server that has this name (DNS).
    ///
    /// # Errors
    ///
    /// When openssl fails.
    pub fn server(&self, name: &str) -> Result<Certificate> {
        self.sign("server", name, &["-addext", &format!("subjectAltName = DNS:{name}")])
    }

    /// A certificate for a client.
    ///
    /// # Errors
    ///
    /// When openssl fails.
    pub fn client(&self, name: &str) -> Result<Certificate> {
        self.sign("client", name, &[])
    }

    fn sign(&self, purpose: &str, name: &str, further: &[&str]) -> Result<Certificate> {
        let signed = Certificate::at(self.directory.path(), &format!("{purpose}-{name}"));
        let config = self.directory.path().join("config");
        let mut command = request(&config, purpose, name, &signed);
        command.arg("-CA").arg(&self.own.file).arg("-CAkey").arg(&self.own.key).args(further);
        output(&mut command)?;
        Ok(signed)
    }
}

impl Certificate {
    fn at(directory: &Path, name: &str) -> Self {
        Self { file: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) }
    }
}

/// Has openssl make a certificate with its key, signed by itself unless something else is added.
fn request(config: &Path, purpose: &str, name: &str, certificate: &Certificate) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-sha256", "-days", "2", "-extensions", purpose, "-subj", &format!("/CN={name}")]);
    command.arg("-config").arg(config);
    command.arg("-keyout").arg(&certificate.key).arg("-out").arg(&certificate.file);
    command
}
