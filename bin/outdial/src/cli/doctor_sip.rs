//! What `outdial doctor` finds of the SIP bridge.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use super::doctor::Finding;
use crate::settings::{Sip, SipTls};

/// Looks at addresses, files and ports.
pub(super) fn examine(settings: Option<&Sip>) -> Finding {
    let Some(sip) = settings else {
        return Finding::Warn(
            "off, so neither exotel trunks nor those with the route direct work: set sip.public_ip"
                .to_owned(),
        );
    };
    let found = files(sip).and_then(|()| listeners(sip)).and_then(|()| media(sip));
    match found {
        Err(finding) => finding,
        Ok(()) if is_private(sip.public_ip) => Finding::Warn(format!(
            "sip.public_ip {} is a private address: only trunks inside this network reach it",
            sip.public_ip
        )),
        Ok(()) => Finding::Ok(format!(
            "all ports are free; {} and media ports {}-{} must be reachable from outside",
            signalling(sip),
            sip.rtp_ports.start(),
            sip.rtp_ports.end()
        )),
    }
}

fn signalling(sip: &Sip) -> String {
    let tls = sip.tls.as_ref().map(|tls| tls.port);
    let ports = [("UDP", sip.udp_port), ("TCP", sip.tcp_port), ("TLS", tls)];
    let ports = ports.iter().filter_map(|(name, port)| Some(format!("{name} {}", (*port)?)));
    ports.collect::<Vec<_>>().join(", ")
}

fn files(sip: &Sip) -> Result<(), Finding> {
    let mut files: Vec<(&str, &Path)> = Vec::new();
    if let Some(SipTls { certificate, key, .. }) = &sip.tls {
        files.extend([("sip.tls_certificate", &**certificate), ("sip.tls_key", &**key)]);
    }
    files.extend(sip.tls_ca.as_deref().map(|path| ("sip.tls_ca", path)));
    files.into_iter().try_for_each(|(setting, path)| match std::fs::read(path) {
        Err(error) => Err(Finding::Fail(format!("{setting} {}: {error}", path.display()))),
        Ok(text) if !text.starts_with(b"-----BEGIN") && !contains(&text, b"\n-----BEGIN") => {
            Err(Finding::Fail(format!("{setting} {} is no PEM file", path.display())))
        }
        Ok(_) => Ok(()),
    })
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

fn listeners(sip: &Sip) -> Result<(), Finding> {
    let at = |port: u16| SocketAddr::new(sip.bind, port);
    let tls = sip.tls.as_ref().map(|tls| tls.port);
    let tried = [
        ("sip.udp_port", sip.udp_port.map(|port| UdpSocket::bind(at(port)).map(drop))),
        ("sip.tcp_port", sip.tcp_port.map(|port| TcpListener::bind(at(port)).map(drop))),
        ("sip.tls_port", tls.map(|port| TcpListener::bind(at(port)).map(drop))),
    ];
    tried.into_iter().try_for_each(|(setting, bound)| match bound {
        Some(Err(error)) if error.kind() == ErrorKind::AddrInUse => Err(Finding::Warn(format!(
            "{setting} is in use: by a running outdial, or by another SIP server; then take \
             another port"
        ))),
        Some(Err(error)) if error.kind() == ErrorKind::AddrNotAvailable => {
            Err(Finding::Fail(format!("sip.bind {} is no address of this machine", sip.bind)))
        }
        Some(Err(error)) => Err(Finding::Fail(format!("{setting} cannot be listened on: {error}"))),
        Some(Ok(())) | None => Ok(()),
    })
}

/// Binds every port of media for a moment.
fn media(sip: &Sip) -> Result<(), Finding> {
    let all = sip.rtp_ports.clone().count();
    let taken: Vec<u16> = sip
        .rtp_ports
        .clone()
        .filter(|port| UdpSocket::bind(SocketAddr::new(sip.bind, *port)).is_err())
        .collect();
    match taken.first() {
        None => Ok(()),
        Some(_) if taken.len() == all => Err(Finding::Warn(
            "all of sip.rtp_ports are in use: by a running outdial, or take other ports".to_owned(),
        )),
        Some(first) => Err(Finding::Warn(format!(
            "{} of {all} sip.rtp_ports are in use, {first} is the first: by a running outdial, or \
             take other ports",
            taken.len()
        ))),
    }
}

/// Whether an address means nothing on the internet.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // 100.64.0.0/10 is shared by the customers of a carrier (RFC 6598).
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sip() -> Sip {
        // Ports that were free a moment ago.
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let first = free() & !1;
        Sip {
            public_ip: "203.0.113.7".parse().unwrap(),
            bind: "127.0.0.1".parse().unwrap(),
            udp_port: None,
            tcp_port: None,
            tls: None,
            tls_ca: None,
            rtp_ports: first..=first | 1,
            no_media_timeout: Duration::from_secs(60),
            media_timeout: Duration::from_secs(30),
        }
    }

    fn fails(sip: &Sip, expect: &str) {
        match examine(Some(sip)) {
            Finding::Fail(text) => assert!(text.contains(expect), "{text}"),
            Finding::Ok(text) | Finding::Warn(text) => panic!("{text}"),
        }
    }

    #[test]
    fn a_bridge_that_is_off_is_told() {
        assert!(matches!(examine(None), Finding::Warn(text) if text.contains("sip.public_ip")));
    }

    #[test]
    fn ports_that_are_taken_are_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp_port = Some(listener.local_addr().unwrap().port());
        let found = examine(Some(&Sip { tcp_port, ..sip() }));
        assert!(matches!(found, Finding::Warn(text) if text.contains("sip.tcp_port is in use")));

        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = examine(Some(&Sip { rtp_ports: port..=port, ..sip() }));
        assert!(matches!(found, Finding::Warn(text) if text.contains("all of sip.rtp_ports")));
        fails(
            &Sip { bind: "192.0.2.1".parse().unwrap(), udp_port: Some(5060), ..sip() },
            "sip.bind",
        );
    }

    #[test]
    fn files_must_be_there_and_be_pem() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let tls = SipTls { port: 0, certificate: certificate.clone(), key: key.clone() };
        let sip = Sip { tls: Some(tls), ..sip() };
        fails(&sip, "sip.tls_certificate");
        std::fs::write(&certificate, "for a person\n-----BEGIN CERTIFICATE-----\n").unwrap();
        fails(&sip, "sip.tls_key");
        std::fs::write(&key, "not a key").unwrap();
        fails(&sip, "no PEM");
    }

    #[test]
    fn private_addresses() {
        for private in ["10.0.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "fd00::1", "fe80::1"]
        {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["203.0.113.7", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
