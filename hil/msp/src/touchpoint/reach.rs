//! Whether a CMP's pages can be reached, before a browser is sent to them: a browser that finds nobody there shows a page of
//! its own, which says nothing to a customer.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Longest wait for an address, and then for a connection.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Whether nobody answers where this URL leads. What can't be judged from here, such as a name that only browsers know, is
/// not down.
pub(super) async fn is_down(url: &str) -> bool {
    let Some((host, port)) = place(url) else {
        return false;
    };
    let Ok(Ok(addresses)) = timeout(PATIENCE, lookup_host((host, port))).await else {
        return false;
    };
    let addresses: Vec<_> = addresses.collect();
    let connected = timeout(PATIENCE, TcpStream::connect(addresses.as_slice())).await;
    !addresses.is_empty() && !matches!(connected, Ok(Ok(_)))
}

/// Host and port of an `https://` URL.
fn place(url: &str) -> Option<(&str, u16)> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_look() {
        for (url, at) in [
            ("https://a.example/x?y", Some(("a.example", 443))),
            ("https://a.example:8443?x", Some(("a.example", 8443))),
            ("https://[::1]:8443/", Some(("::1", 8443))),
            ("https://[::1]/", Some(("::1", 443))),
            ("carapp://back", None),
            ("https://", None),
            ("https://a:b/", None),
        ] {
            assert_eq!(place(url), at, "{url}");
        }
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_down() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap();
        let url = format!("https://{}/back?x=1", listener.local_addr().unwrap());
        assert!(!is_down(&url).await);
        drop(listener);
        assert!(is_down(&url).await);
        assert!(!is_down("carapp://back").await);
        assert!(!is_down("https://nobody.invalid/").await);
    }
}
