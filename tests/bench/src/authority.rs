//! A certificate authority that lives as long as the run. The functions trust it by ordinary means:
//! a file of roots.
//!
//! Each function reads the roots that it would read on Lambda, and that one: ours those of Amazon,
//! Python those that come with botocore.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use callback_aws::trust::AMAZON_ROOTS;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::Result;

/// Prints the path of the roots that botocore reads.
const BOTOCORE_ROOTS: &str =
    "from botocore.httpsession import get_cert_path as path; print(path(True))";
/// The name in the servers' certificate.
pub const SERVER_NAME: &str = "localhost";

/// The authority, and a server certificate of it.
pub struct Authority {
    /// A file of Amazon's roots and this one.
    pub roots: PathBuf,
    /// A file of botocore's roots and this one.
    pub python_roots: PathBuf,
    /// How many roots come with botocore.
    pub botocore_roots: usize,
    /// Ends TLS on the side of the server.
    pub acceptor: TlsAcceptor,
}

impl Authority {
    /// Makes an authority (ECDSA P-256), and writes its roots into this directory. `python` has
    /// botocore.
    pub fn create(directory: &Path, python: &Path) -> Result<Self> {
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

        let botocore = botocore_roots(python)?;
        let (roots, python_roots) = (directory.join("roots.pem"), directory.join("python.pem"));
        fs::write(&roots, format!("{AMAZON_ROOTS}\n{}", root.pem()))?;
        fs::write(&python_roots, format!("{botocore}\n{}", root.pem()))?;
        Ok(Self {
            roots,
            python_roots,
            botocore_roots: botocore.matches("BEGIN CERTIFICATE").count(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// The roots that botocore reads, as PEM.
fn botocore_roots(python: &Path) -> Result<String> {
    let printed = Command::new(python).args(["-c", BOTOCORE_ROOTS]).output()?;
    let path = String::from_utf8(printed.stdout)?;
    let roots = fs::read_to_string(path.trim());
    roots.map_err(|error| format!("botocore of {} has no roots: {error}", python.display()).into())
}
