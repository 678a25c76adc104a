//! The ports of our own, which no upstream may be, and the admin port no webhook either.
//!
//! An upstream that is the admin port would put the administration on the data port; one that is
//! the gateway itself would go round for ever. A webhook that is the admin port would have us call
//! ourselves, from an address that is trusted. What an address says by itself is refused when it is
//! read; what a name leads to, at each connection.

use super::Address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Names that mean this machine wherever they are known, beside those below `.localhost`
/// (RFC 6761 section 6.3).
const LOOPBACK_NAMES: [&str; 8] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
];

/// Where this process listens, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPorts {
    /// The data port.
    pub gateway: Option<SocketAddr>,
    /// The admin port.
    pub admin: Option<SocketAddr>,
}

/// What an address turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnPort {
    /// The admin port, or the number of it on another loopback address.
    #[error("is the admin port, which is never reached through the gateway")]
    Admin,
    /// The data port.
    #[error("is where the gateway itself listens: its requests would go in a circle")]
    Gateway,
}

impl OwnPorts {
    /// The port of ours that a connection to `peer` would arrive at, now.
    pub fn reached(&self, peer: SocketAddr) -> Option<OwnPort> {
        self.at(peer, is_ours)
    }

    /// The port of ours that a connection from this machine to `peer` would arrive at. `is_ours`
    /// says whether an address belongs to this machine; it is asked only where a port listens on
    /// every address.
    fn at(&self, peer: SocketAddr, is_ours: impl Fn(SocketAddr) -> bool) -> Option<OwnPort> {
        let is = |listen: Option<SocketAddr>, whole_loopback: bool| {
            listen.is_some_and(|listen| {
                peer.port() == listen.port() && reaches(peer, listen, whole_loopback, &is_ours)
            })
        };
        // Between the admin port and whoever asks through the gateway there is to be more than the
        // number of a loopback address.
        if is(self.admin, true) {
            Some(OwnPort::Admin)
        } else {
            is(self.gateway, false).then_some(OwnPort::Gateway)
        }
    }

    /// The same of an address as it is written. Names that may lead anywhere are not resolved.
    pub fn named(&self, address: &Address) -> Option<OwnPort> {
        let host = address.host.as_str();
        let is_loopback_name = LOOPBACK_NAMES.contains(&host) || host.ends_with(".localhost");
        let ips: &[IpAddr] = match host.parse() {
            Ok(ip) => &[ip],
            Err(_name) if is_loopback_name => {
                &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            }
            Err(_name) => &[],
        };
        ips.iter().find_map(|&ip| self.at((ip, address.port).into(), |_elsewhere| false))
    }
}

/// Whether a connection to `peer` arrives at a listener of the same port.
fn reaches(
    peer: SocketAddr,
    listen: SocketAddr,
    whole_loopback: bool,
    is_ours: impl Fn(SocketAddr) -> bool,
) -> bool {
    let (ip, listen) = (peer.ip().to_canonical(), listen.ip().to_canonical());
    // The unspecified address connects to this machine.
    let stays_here = ip.is_loopback() || ip.is_unspecified();
    if ip == listen {
        true
    } else if listen.is_unspecified() {
        stays_here || is_ours(peer)
    } else {
        stays_here && (whole_loopback || (ip.is_unspecified() && listen.is_loopback()))
    }
}

/// Whether an address is this machine's: to those the system speaks from the very address. Nothing
/// is sent. Where the system cannot say, it is taken for ours.
fn is_ours(peer: SocketAddr) -> bool {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(peer)?;
        socket.local_addr()
    });
    source.map_or(true, |source| source.ip().to_canonical() == peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_which_addresses_are_ours() {
        assert!(is_ours(([127, 0, 0, 1], 9).into()));
        // RFC 5737: nobody's. Without any network nothing can be said of it.
        let nobody = SocketAddr::from(([192, 0, 2, 1], 9));
        let reachable =
            UdpSocket::bind("0.0.0.0:0").is_ok_and(|socket| socket.connect(nobody).is_ok());
        assert_eq!(is_ours(nobody), !reachable);
    }

    fn ports(gateway: &str, admin: &str) -> OwnPorts {
        OwnPorts { gateway: gateway.parse().ok(), admin: admin.parse().ok() }
    }

    fn at(ports: OwnPorts, peer: &str) -> Option<OwnPort> {
        let is_ours = |peer: SocketAddr| peer.ip().to_canonical() == Ipv4Addr::new(10, 0, 0, 5);
        ports.at(peer.parse().expect("an address"), is_ours)
    }

    #[test]
    fn an_address_is_ours_where_a_connection_to_it_arrives() {
        let ports = ports("10.0.0.5:8080", "127.0.0.1:8081");
        for peer in ["10.0.0.5:8080", "[::ffff:10.0.0.5]:8080"] {
            assert_eq!(at(ports, peer), Some(OwnPort::Gateway), "{peer}");
        }
        for peer in ["127.0.0.1:8080", "0.0.0.0:8080", "10.0.0.5:8081", "10.0.0.6:8080"] {
            assert_eq!(at(ports, peer), None, "{peer}");
        }
    }

    #[test]
    fn no_loopback_address_with_the_admin_s_port_is_an_upstream() {
        for admin in ["127.0.0.1:8081", "[::1]:8081", "127.9.9.9:8081"] {
            let ports = ports("127.0.0.1:8080", admin);
            for host in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.3.0.1]"]
            {
                let at = at(ports, &format!("{host}:8081"));
                assert_eq!(at, Some(OwnPort::Admin), "{host} before {admin}");
            }
            assert_eq!(at(ports, "127.0.0.1:8082"), None);
        }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_each_of_this_machine_s() {
        for gateway in ["0.0.0.0:8080", "[::]:8080"] {
            let ports = ports(gateway, "127.0.0.1:8081");
            for host in
                ["127.0.0.1", "127.0.0.2", "[::1]", "0.0.0.0", "10.0.0.5", "[::ffff:10.0.0.5]"]
            {
                let at = at(ports, &format!("{host}:8080"));
                assert_eq!(at, Some(OwnPort::Gateway), "{host} before {gateway}");
            }
            assert_eq!(at(ports, "10.0.0.6:8080"), None);
        }
        let alone = ports("127.0.0.1:8080", "127.0.0.1:8081");
        assert_eq!(at(alone, "0.0.0.0:8080"), Some(OwnPort::Gateway));
        assert_eq!(at(alone, "127.0.0.2:8080"), None, "another listener may be there");
    }
}
