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

/// Amazon's roots; or the system's roots in other partitions, or if `SSL_CERT_FILE` or
/// `SSL_CERT_DIR` is set, which name the system's roots.
pub fn trust_store() -> TrustStore {
    trust_store_for(|name| env::var(name).ok())
}

fn trust_store_for(variable: impl Fn(&str) -> Option<String>) -> TrustStore {
    let region = variable("AWS_REGION").unwrap_or_default();
    let names_others = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(&variable).iter().any(Option::is_some);
    if names_others || OTHER_PARTITIONS.iter().any(|prefix| region.starts_with(prefix)) {
        TrustStore::default()
    } else {
        TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether these variables make the system's roots trusted.
    fn takes_the_systems(variables: &[(&str, &str)]) -> bool {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        format!("{:?}", trust_store_for(value)).contains("enable_native_roots: true")
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
    fn the_roots_are_five() {
        assert_eq!(AMAZON_ROOTS.matches("BEGIN CERTIFICATE").count(), 5);
    }
}
