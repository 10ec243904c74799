//! Addresses as people write them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The address of `HOST`, `HOST:PORT`, `ADDRESS` or `[ADDRESS]:PORT`.
///
/// # Errors
/// One sentence.
pub fn resolve(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, default_port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (
            host,
            port.parse::<u16>().map_err(|_| {
                format!("'{text}': '{port}' is not a port; write HOST:PORT, as in 127.0.0.1:1812")
            })?,
        ),
        None => (text, default_port),
    };
    (host, port)
        .to_socket_addrs()
        .map_err(|e| format!("'{host}' has no address: {e}"))?
        .next()
        .ok_or_else(|| format!("'{host}' has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        for (text, expect) in [
            ("127.0.0.1:18120", Some("127.0.0.1:18120")),
            ("127.0.0.1", Some("127.0.0.1:1812")),
            ("::1", Some("[::1]:1812")),
            ("[::1]", Some("[::1]:1812")),
            ("[::1]:1645", Some("[::1]:1645")),
            ("127.0.0.1:many", None),
            ("127.0.0.1:70000", None),
        ] {
            assert_eq!(
                resolve(text, 1812).ok(),
                expect.and_then(|e| e.parse().ok()),
                "{text}"
            );
        }
    }
}
