//! A certificate authority that lives as long as the run. The functions trust it by ordinary
//! means: a file of roots, which holds those of the system, too, as on Lambda.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::Result;

/// Where systems keep their roots, in one file.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];
/// The name in the servers' certificate.
pub const SERVER_NAME: &str = "localhost";

/// The authority, and a server certificate of it.
pub struct Authority {
    /// A file of the system's roots and this one.
    pub roots: PathBuf,
    /// How many roots of the system there are.
    pub system_roots: usize,
    /// Ends TLS on the side of the server.
    pub acceptor: TlsAcceptor,
}

impl Authority {
    /// Makes an authority (ECDSA P-256), and writes its roots into this directory.
    pub fn create(directory: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Without names of their own, the server's certificate would seem to be signed by itself.
        parameters.distinguished_name.push(DnType::CommonName, "authority of a measurement");
        let root = parameters.self_signed(&key)?;
        let issuer = Issuer::new(parameters, key);

        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&server_key, &issuer)?;
        let private_key = PrivateKeyDer::try_from(server_key.serialize_der())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key)?;
        // What the endpoints of these services speak.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];

        let system = SYSTEM_ROOTS.iter().find_map(|path| fs::read_to_string(path).ok());
        let system = system.unwrap_or_default();
        let roots = directory.join("roots.pem");
        fs::write(&roots, format!("{system}\n{}", root.pem()))?;
        Ok(Self {
            roots,
            system_roots: system.matches("BEGIN CERTIFICATE").count(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}
