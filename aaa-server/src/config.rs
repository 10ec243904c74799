//! The settings of the RADIUS door.

use std::net::{IpAddr, SocketAddr};

kernel::config! {
    /// The RADIUS door: where access points and gateways ask.
    pub struct RadiusConfig in "radius" {
        /// Addresses to listen on. "0.0.0.0" is every IPv4 address of the machine, "::" every IPv6 address.
        addresses: Vec<IpAddr> = vec![
            IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        ],
        /// Ports for authentication. Old devices ask on 1645; add it here.
        auth_ports: Vec<u16> = vec![1812],
        /// Ports for accounting. Old devices use 1646; add it here.
        acct_ports: Vec<u16> = vec![1813],
        /// Receive threads for each address and port; 0 is one per core.
        threads: usize = 0,
        /// Threads that compute slow password hashes; 0 is one per core.
        proof_threads: usize = 0,
        /// How long a slow password hash that fitted is not computed again, in seconds; 0 computes it for every login.
        /// What is remembered is a digest under a key of this process.
        proof_memory_seconds: u32 = 300,
        /// Hashes that were imported (PBKDF2, bcrypt, SSHA, …) are replaced by argon2id when their password is next proved.
        rehash_imported: bool = true,
        /// Packets with more attributes than this are dropped.
        max_attributes: usize = 200,
        /// Requests that passed more proxies than this are dropped.
        max_proxy_states: usize = 16,
        /// Wrong passwords of one person within the window that lock him; 0 never locks.
        user_failures: u32 = 10,
        /// The same for one device, over all names it tries.
        device_failures: u32 = 20,
        /// The same for one NAS, over everybody behind it.
        nas_failures: u32 = 0,
        /// The window in which failures are counted, in seconds.
        failure_window_seconds: u32 = 300,
        /// How long a lock lasts, in seconds.
        lock_seconds: u32 = 300,
        /// Accepts kept in the attempts table, per second; refusals are always kept. The rest is counted.
        kept_accepts_per_second: u32 = 50,
        /// Accepts kept in this node's own log of attempts, per second; refusals are always kept there too.
        logged_accepts_per_second: u32 = 200,
        /// Room for that log, in MiB; what is older goes first, and nothing is kept longer than a week. 0 keeps none.
        attempts_log_mib: u64 = 64,
        /// How long logins go on while the database does not answer, in seconds. After that the server falls silent: who
        /// was shut out meanwhile would get in.
        serve_stale_for_seconds: u32 = 86_400,
        /// How long a NAS is waited for that is asked to end or change a session (Disconnect, CoA), in milliseconds. It is
        /// asked again after that, and then after twice as long, five times.
        session_order_wait_ms: u32 = 2_000,
        /// Room for accounting reports that the database has not taken yet, in MiB.
        journal_mib: u64 = 8192,
    }
}

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Access-Request.
    Authentication,
    /// Accounting-Request.
    Accounting,
}

impl RadiusConfig {
    /// Every socket address with what it is for.
    ///
    /// # Errors
    /// One sentence when a port is used for both.
    pub fn listeners(&self) -> Result<Vec<(SocketAddr, Purpose)>, String> {
        if let Some(port) = self
            .auth_ports
            .iter()
            .find(|port| **port != 0 && self.acct_ports.contains(port))
        {
            return Err(format!(
                "port {port} is given for authentication and for accounting; a port serves one of them"
            ));
        }
        let mut listeners = Vec::new();
        for address in &self.addresses {
            for port in &self.auth_ports {
                listeners.push((SocketAddr::new(*address, *port), Purpose::Authentication));
            }
            for port in &self.acct_ports {
                listeners.push((SocketAddr::new(*address, *port), Purpose::Accounting));
            }
        }
        Ok(listeners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_serves_one_purpose() {
        let mut config = RadiusConfig::default();
        assert_eq!(config.listeners().map(|l| l.len()), Ok(4));
        config.acct_ports = vec![1812];
        assert!(config.listeners().is_err());
    }
}
