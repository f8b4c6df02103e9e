//! The gate: who may reach the endpoint at all.
//!
//! Whoever sends a command here runs a script as the owner of the sandbox. So only programs that
//! know the access key id of this run are let in. A page in the owner's browser never is: browsers
//! say where a request comes from, and a rebound host name is not one of ours.

use std::collections::HashSet;
use std::sync::Mutex;

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use sandbox_run_command::locked::Locked;

use crate::api_call;
use crate::iam::roles::Roles;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Where moto answers for itself: not an API of AWS.
const MOTO_API: &str = "/moto-api";

/// The gate of one run.
#[derive(Debug)]
pub struct Gate {
    hosts: [String; 2],
    access_key_id: String,
    roles: Option<Roles>,
    /// The keys that were issued for a role to somebody who was let in.
    admitted: Mutex<HashSet<String>>,
}

impl Gate {
    /// The gate of the endpoint at this port, for the owner of this access key id, and for those to
    /// whom credentials of roles were issued.
    pub fn new(port: u16, access_key_id: &str, roles: Option<Roles>) -> Self {
        let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        Self { hosts, access_key_id: access_key_id.to_owned(), roles, admitted: Mutex::default() }
    }

    /// Lets in requests that are signed with this key from now on.
    pub fn admit(&self, access_key_id: String) {
        self.admitted.locked().insert(access_key_id);
    }

    /// Lets a request in, or says in a sentence why not.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        self.check_host(uri, headers)?;
        if headers.contains_key(header::ORIGIN) {
            return Err("web pages are not let in: expected no Origin header".to_owned());
        }
        if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none") {
            return Err("web pages are not let in: expected no Sec-Fetch-Site header".to_owned());
        }
        if method == Method::OPTIONS {
            return Err("web pages are not let in: expected no preflight request".to_owned());
        }
        if is_of_moto(uri) {
            return Err(format!("{MOTO_API} is not an API of AWS, and is closed"));
        }
        if !self.is_known(api_call::access_key_id(headers, uri).as_deref()) {
            return Err("expected a request signed with the access key of this run; \
                        `sandbox up` writes it to its environment file, by default \
                        target/sandbox.env"
                .to_owned());
        }
        Ok(())
    }

    /// Lets a request in if everything in it that names a host names this one.
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        if self.is_for_this_host(uri, headers) {
            return Ok(());
        }
        let [host, other] = &self.hosts;
        Err(format!("expected the host {host} or {other}"))
    }

    /// Whether everything that names a host names this one.
    fn is_for_this_host(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let ours = |host: &str| self.hosts.iter().any(|ours| host.eq_ignore_ascii_case(ours));
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        host.to_str().is_ok_and(ours)
            && uri.authority().is_none_or(|authority| ours(authority.as_str()))
    }

    fn is_known(&self, access_key_id: Option<&str>) -> bool {
        access_key_id.is_some_and(|id| {
            id == self.access_key_id
                || self.roles.as_ref().is_some_and(|roles| roles.caller(id).is_some())
                || self.admitted.locked().contains(id)
        })
    }
}

/// Whether moto would take the path, as it will be passed on, for one of its own.
fn is_of_moto(uri: &Uri) -> bool {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Url::parse(&format!("http://moto{path}"))
        .is_ok_and(|url| percent_decode_str(url.path()).decode_utf8_lossy().contains(MOTO_API))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AKIAOURS";

    /// What the gate says to a request with these headers, besides those of an SDK.
    fn check(method: &Method, uri: &str, headers: &[(&'static str, &str)]) -> Result<(), String> {
        let sdk = [
            ("host", "127.0.0.1:5000"),
            ("authorization", "AWS4-HMAC-SHA256 Credential=AKIAOURS/20261122/us-east-1/s3/x, X"),
        ];
        let mut all = HeaderMap::new();
        for (name, value) in sdk.iter().chain(headers) {
            all.insert(*name, value.parse().expect("a header value"));
        }
        let uri: Uri = uri.parse().expect("a URI");
        Gate::new(5000, KEY, None).check(method, &uri, &all)
    }

    #[test]
    fn programs_with_the_key_are_let_in() {
        assert_eq!(check(&Method::POST, "/", &[]), Ok(()));
        assert_eq!(check(&Method::POST, "/", &[("host", "LOCALHOST:5000")]), Ok(()));
        assert_eq!(check(&Method::GET, "http://localhost:5000/bucket", &[]), Ok(()));
        assert_eq!(check(&Method::GET, "/", &[("sec-fetch-site", "none")]), Ok(()));
    }

    #[test]
    fn other_names_of_this_machine_are_refused() {
        for host in ["evil.example", "127.0.0.1", "127.0.0.1:5001", "127.0.0.1:5000.evil.example"] {
            let refused = check(&Method::POST, "/", &[("host", host)]).expect_err(host);
            assert!(refused.contains("expected the host 127.0.0.1:5000"), "{refused}");
        }
        check(&Method::GET, "http://evil.example/", &[]).expect_err("another authority");
        let uri = Uri::from_static("/");
        Gate::new(5000, KEY, None)
            .check(&Method::GET, &uri, &HeaderMap::new())
            .expect_err("no host at all");
        let two: HeaderMap = ["127.0.0.1:5000", "evil.example"]
            .map(|host| (header::HOST, host.parse().expect("a header value")))
            .into_iter()
            .collect();
        Gate::new(5000, KEY, None).check(&Method::GET, &uri, &two).expect_err("two hosts");
    }

    #[test]
    fn pages_are_refused_wherever_they_come_from() {
        for headers in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:5000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            let refused = check(&Method::POST, "/", &[headers]).expect_err(headers.1);
            assert!(refused.contains("web pages"), "{refused}");
        }
        check(&Method::OPTIONS, "/", &[]).expect_err("a preflight");
    }

    #[test]
    fn what_moto_has_for_itself_is_closed_however_it_is_spelled() {
        for path in [
            "/moto-api/reset",
            "/moto-api",
            "/%6doto-api/recorder/replay-recording",
            "/bucket/../moto-api/reset",
            "/bucket/%2e%2e/moto-api/reset",
            "//moto-api/reset",
        ] {
            let refused = check(&Method::POST, path, &[]).expect_err(path);
            assert!(refused.contains("/moto-api"), "{refused}");
        }
    }

    #[test]
    fn who_was_given_a_key_of_a_role_is_let_in() {
        let gate = Gate::new(5000, KEY, None);
        let headers: HeaderMap = [
            (header::HOST, "localhost:5000"),
            (header::AUTHORIZATION, "AWS4-HMAC-SHA256 Credential=ASIAROLE/x/x/s3/x, X"),
        ]
        .map(|(name, value)| (name, value.parse().expect("a header value")))
        .into_iter()
        .collect();
        let check = || gate.check(&Method::GET, &Uri::from_static("/"), &headers);
        check().expect_err("a key that was not given");
        gate.admit("ASIAROLE".to_owned());
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn who_does_not_know_the_key_is_refused() {
        for authorization in ["", "AWS4-HMAC-SHA256 Credential=sandbox/20261122/us-east-1/s3/x, X"]
        {
            let refused = check(&Method::POST, "/", &[("authorization", authorization)]);
            assert!(refused.expect_err("another key").contains("access key of this run"));
        }
    }
}
