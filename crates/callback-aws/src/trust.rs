//! Which certificate authorities are trusted.
//!
//! Reading all of the system's root certificates is half of a function's startup work. The
//! endpoints of the public Regions use certificates from Amazon Trust Services, so there its roots
//! are enough.

use std::env;

use aws_smithy_http_client::tls::TrustStore;

/// Amazon Root CA 1 to 4 and Starfield Services Root Certificate Authority - G2: the roots that
/// Amazon Trust Services recommends for custom trust stores (amazontrust.com/repository). The first
/// of them expires in December 2037.
pub const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// Region prefixes of the other partitions. Which roots they need is not confirmed.
const OTHER_PARTITIONS: [&str; 5] = ["cn-", "us-gov-", "us-iso", "eu-iso", "eusc-"];

/// Whose certificate authorities a function is told to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// Those of Amazon Trust Services, wherever they are known to be enough.
    Amazon,
    /// Those of the system.
    System,
}

/// The system's roots if they are asked for, in other partitions, or if `SSL_CERT_FILE` or
/// `SSL_CERT_DIR` is set, which name the system's roots. Amazon's otherwise.
pub fn trust_store(roots: Roots) -> TrustStore {
    trust_store_for(roots, |name| env::var(name).ok())
}

fn trust_store_for(roots: Roots, variable: impl Fn(&str) -> Option<String>) -> TrustStore {
    let region = variable("AWS_REGION").unwrap_or_default();
    let names_others = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(&variable).iter().any(Option::is_some);
    if roots == Roots::System
        || names_others
        || OTHER_PARTITIONS.iter().any(|prefix| region.starts_with(prefix))
    {
        TrustStore::default()
    } else {
        TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    /// Whether these variables make the system's roots trusted.
    fn takes_the_systems(variables: &[(&str, &str)]) -> bool {
        takes_the_systems_if(Roots::Amazon, variables)
    }

    fn takes_the_systems_if(roots: Roots, variables: &[(&str, &str)]) -> bool {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        format!("{:?}", trust_store_for(roots, value)).contains("enable_native_roots: true")
    }

    #[test]
    fn the_roots_are_amazons_where_nothing_else_is_asked_for() {
        assert!(!takes_the_systems(&[]));
        for region in ["eu-central-1", "us-east-1", "us-west-2", "ca-central-1"] {
            assert!(!takes_the_systems(&[("AWS_REGION", region)]), "{region}");
        }
        for region in ["cn-north-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1"] {
            assert!(takes_the_systems(&[("AWS_REGION", region)]), "{region}");
        }
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            assert!(takes_the_systems(&[("AWS_REGION", "us-east-1"), (name, "/roots")]), "{name}");
        }
    }

    #[test]
    fn the_roots_are_the_systems_where_they_are_asked_for() {
        assert!(takes_the_systems_if(Roots::System, &[("AWS_REGION", "us-east-1")]));
    }

    /// The fingerprints that amazontrust.com/repository publishes.
    #[test]
    fn the_roots_are_the_five_of_amazon_trust_services() {
        let certificates = CertificateDer::pem_slice_iter(AMAZON_ROOTS.as_bytes());
        let fingerprints: Vec<String> = certificates
            .map(|certificate| {
                let digest = Sha256::digest(certificate.expect("a certificate"));
                digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
            })
            .collect();
        let expected = [
            // Amazon Root CA 1 to 4.
            "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
            "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
            "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
            "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
            // Starfield Services Root Certificate Authority - G2.
            "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
        ];
        assert_eq!(fingerprints, expected);
    }
}
