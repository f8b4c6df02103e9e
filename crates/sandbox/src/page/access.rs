//! Who may see the page and use it.
//!
//! The address that the sandbox prints holds a key. Who opens it gets a cookie, which pages of other
//! sites cannot use (`SameSite=Strict`) and no script can read. A browser sends the cookies of
//! 127.0.0.1 to every port, also to the server of another user of this machine. So the cookie alone
//! shows nothing: events and actions need a second secret, which the page keeps in the storage of
//! its origin, and which no other port can read. It comes behind the `#` of the address to which the
//! key leads, which no server sees. An action needs the page's own `Origin` as well.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

/// The header with the second secret.
const PAGE_HEADER: &str = "x-sandbox-page";
const NOT_OPENED: &str = "Open the address that `make up` or `make demo` has printed: the page needs \
                          the key in it, and each run has another one.";

/// The secrets of one run.
pub(super) struct Access {
    port: u16,
    /// In the address that opens the page.
    key: String,
    /// In the cookie.
    cookie: String,
    /// In the storage of the page's origin.
    page: String,
}

impl Access {
    /// New secrets for the sandbox at this port.
    pub(super) fn new(port: u16) -> Self {
        let secret = || Uuid::new_v4().simple().to_string();
        Self { port, key: secret(), cookie: secret(), page: secret() }
    }

    /// The address that opens the page.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?key={}", self.port, self.key)
    }

    /// The answer to a request with a key in its address: a cookie, and the way to the page.
    pub(super) fn open(&self, uri: &Uri) -> Option<Response> {
        let key = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("key="))?;
        if !is_same(key, &self.key) {
            return Some((StatusCode::FORBIDDEN, format!("{NOT_OPENED}\n")).into_response());
        }
        let name = self.cookie_name();
        let cookie = format!("{name}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie);
        let headers =
            [(header::SET_COOKIE, cookie), (header::LOCATION, format!("/#{}", self.page))];
        Some((StatusCode::SEE_OTHER, headers).into_response())
    }

    /// Lets in the browser that has opened the page.
    pub(super) fn check_browser(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let name = self.cookie_name();
        let mut cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='));
        if cookies.any(|(other, value)| other == name && is_same(value, &self.cookie)) {
            return Ok(());
        }
        Err(NOT_OPENED)
    }

    /// Lets in the page itself, and no other page in the same browser.
    pub(super) fn check_page(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
            return Err("expected a request of the sandbox's own page");
        }
        let secret = headers.get(PAGE_HEADER).and_then(|secret| secret.to_str().ok());
        if secret.is_some_and(|secret| is_same(secret, &self.page)) {
            return Ok(());
        }
        Err(NOT_OPENED)
    }

    /// Sandboxes at other ports have cookies of other names.
    fn cookie_name(&self) -> String {
        format!("sandbox-{}", self.port)
    }
}

/// Lets in requests that a browser says to be of the page. They go to one of the hosts of the gate.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), &'static str> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (origin.and_then(|origin| origin.strip_prefix("http://")), host) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err("expected the Origin of the sandbox's own page"),
    }
}

/// Compares in a time that does not tell how much is right.
fn is_same(given: &str, secret: &str) -> bool {
    let (given, secret) = (given.as_bytes(), secret.as_bytes());
    let differences = given.iter().zip(secret).fold(0, |all, (given, secret)| all | given ^ secret);
    given.len() == secret.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    fn access() -> Access {
        let secret = |text: &str| text.to_owned();
        Access { port: 5000, key: secret("key"), cookie: secret("cookie"), page: secret("page") }
    }

    #[test]
    fn the_key_becomes_a_cookie_and_leaves_the_address() {
        let uri: Uri = "/?key=key".parse().expect("a URI");
        let answer = access().open(&uri).expect("an answer");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()["location"], "/#page");
        let cookie = "sandbox-5000=cookie; Path=/; HttpOnly; SameSite=Strict";
        assert_eq!(answer.headers()["set-cookie"], cookie);
    }

    #[test]
    fn another_key_opens_nothing() {
        for uri in ["/?key=kex", "/?key=", "/?a=b&key=keyy"] {
            let answer = access().open(&uri.parse().expect("a URI")).expect("an answer");
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{uri}");
            assert!(!answer.headers().contains_key("set-cookie"), "{uri}");
        }
        assert!(access().open(&Uri::from_static("/")).is_none());
    }

    #[test]
    fn the_browser_is_known_by_its_cookie() {
        let check =
            |pairs: &[(&'static str, &str)]| access().check_browser(&headers(pairs)).is_ok();
        assert!(check(&[("cookie", "a=b; sandbox-5000=cookie")]));
        assert!(check(&[("cookie", "a=b"), ("cookie", "sandbox-5000=cookie")]));
        assert!(!check(&[]));
        assert!(!check(&[("cookie", "sandbox-5000=")]));
        assert!(!check(&[("cookie", "sandbox-5001=cookie")]));
        assert!(!check(&[("cookie", "sandbox-5000=cookies")]));
    }

    #[test]
    fn the_page_is_known_by_what_it_keeps_and_by_its_origin() {
        let check = |pairs: &[(&'static str, &str)]| access().check_page(&headers(pairs)).is_ok();
        assert!(check(&[("x-sandbox-page", "page")]));
        assert!(check(&[("x-sandbox-page", "page"), ("sec-fetch-site", "same-origin")]));
        assert!(!check(&[]));
        assert!(!check(&[("x-sandbox-page", "cookie")]));
        // Another port of this machine.
        assert!(!check(&[("x-sandbox-page", "page"), ("sec-fetch-site", "same-site")]));
        let check = |pairs: &[(&'static str, &str)]| check_origin(&headers(pairs)).is_ok();
        let host = ("host", "127.0.0.1:5000");
        assert!(check(&[host, ("origin", "http://127.0.0.1:5000")]));
        assert!(!check(&[host]));
        assert!(!check(&[host, ("origin", "null")]));
        assert!(!check(&[host, ("origin", "http://127.0.0.1:5001")]));
        assert!(!check(&[host, ("origin", "https://127.0.0.1:5000")]));
        assert!(!check(&[host, ("origin", "http://evil.example")]));
    }
}
