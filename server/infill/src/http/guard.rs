//! Who may ask: clients with the token, and no web page that happens to be open on this machine.
//!
//! A browser lets any page send requests to this machine. Such a request names its page as `Origin`; and where a page's
//! own name was made to lead here (DNS rebinding), `Host` is that name. Neither is let in on a loopback address.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq as _;

use crate::http::House;
use crate::http::refusal::Refusal;

/// The environment variable that may hold the token.
pub const TOKEN_VARIABLE: &str = "INFILL_SERVE_TOKEN";

/// Who may ask.
#[derive(Clone)]
pub struct Guard {
    /// What clients must send, if anything.
    pub token: Option<String>,
    /// Whether only this machine can reach the server.
    pub is_loopback: bool,
}

/// The token of this file, or of the environment.
///
/// # Errors
/// If the file cannot be read, or if what is there cannot be sent in a header.
pub fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let (found, place) = match file {
        Some(file) => {
            let place = file.display().to_string();
            let text = fs::read_to_string(file);
            (text.with_context(|| format!("cannot read {place}"))?, place)
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (text, TOKEN_VARIABLE.to_owned()),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(error) => bail!("{TOKEN_VARIABLE} cannot be used: {error}"),
        },
    };
    let token = found.trim();
    if token.is_empty() {
        bail!("there is no token in {place}");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("the token in {place} has blanks or other characters that no header may have");
    }
    Ok(Some(token.to_owned()))
}

/// Lets a request through, or not.
pub async fn check(State(house): State<Arc<House>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    match house.guard.refuses(path, request.headers()) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

impl Guard {
    /// Why a request is not let through, if so.
    fn refuses(&self, path: &str, headers: &HeaderMap) -> Option<Refusal> {
        if self.is_loopback {
            let forbidden = |why: &str| Some(Refusal::of(StatusCode::FORBIDDEN, why));
            if !all(headers, header::HOST, is_loopback) {
                return forbidden("the `Host` of this request is not this machine");
            }
            if !all(headers, header::ORIGIN, is_loopback_origin) {
                return forbidden("this request comes from a web page");
            }
        }
        let token = self.token.as_ref().filter(|_| path != "/health")?;
        (!has_token(headers, token)).then(|| {
            Refusal::of(
                StatusCode::UNAUTHORIZED,
                "this server wants its token: `Authorization: Bearer TOKEN`",
            )
        })
    }
}

fn all(headers: &HeaderMap, name: header::HeaderName, is_fine: fn(&str) -> bool) -> bool {
    let mut values = headers.get_all(name).iter();
    values.all(|value| value.to_str().is_ok_and(is_fine))
}

/// Takes as long for a token that is nearly right as for one that is all wrong.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| value.as_bytes().split_at_checked("Bearer ".len()));
    sent.is_some_and(|(scheme, sent)| {
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(sent.ct_eq(token.as_bytes()))
    })
}

/// Whether `HOST[:PORT]` is this machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_address = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    is_address || host == "localhost" || host.ends_with(".localhost")
}

fn is_loopback_origin(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://");
    let authority = authority.or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for here in [
            "localhost",
            "LOCALHOST:8012",
            "127.0.0.1",
            "127.3.2.1:80",
            "[::1]",
            "[::1]:8012",
            "dev.localhost:1",
            "localhost.",
        ] {
            assert!(is_loopback(here), "{here}");
            assert!(is_loopback_origin(&format!("http://{here}")), "{here}");
        }
        for elsewhere in [
            "",
            "example.org",
            "127.0.0.1.example.org",
            "localhost.example.org:8012",
            "10.0.0.1",
            "[::2]:8012",
            "0.0.0.0",
            "evil@127.0.0.1",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
        for origin in ["null", "", "file://", "localhost", "vscode-webview://x"] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }

    #[test]
    fn a_token_is_the_whole_token() {
        let sent = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            headers
        };
        assert!(has_token(&sent("Bearer secret"), "secret"));
        assert!(has_token(&sent("bearer secret"), "secret"));
        for wrong in [
            "Bearer secre",
            "Bearer secret2",
            "Bearer ",
            "secret",
            "Basic secret",
            "",
        ] {
            assert!(!has_token(&sent(wrong), "secret"), "{wrong}");
        }
        assert!(!has_token(&HeaderMap::new(), "secret"));
    }
}
