//! Calls over TLS, with a certificate authority made here.

use std::net::SocketAddr;
use std::sync::Arc;

use outdial_sip::{End, InviteError, Settings, TlsListener, Transport, UserAgent};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::callee::{Callee, HERE, Line, soon};

struct Identity {
    certificate: String,
    key: String,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn agent(authority: &CertifiedIssuer<'static, KeyPair>) -> UserAgent {
    let ours = identity(authority, "localhost");
    let mut settings = Settings::new(HERE);
    settings.tls = Some(TlsListener {
        address: SocketAddr::new(HERE, 0),
        certificate: ours.certificate.into_bytes(),
        key: ours.key.into_bytes(),
    });
    settings.tls_roots = Some(authority.pem().into_bytes());
    UserAgent::start(settings).await.unwrap()
}

async fn tls_line(callee: &Callee, acceptor: &TlsAcceptor) -> Line {
    let stream = soon("the handshake", acceptor.accept(callee.stream().await)).await.unwrap();
    Line::stream(stream, callee.address, "TLS")
}

#[tokio::test]
async fn a_call_over_tls_and_a_bye_over_a_connection_of_the_callee() {
    let authority = authority();
    let server = acceptor(&identity(&authority, "localhost"));
    for dialled_back in [false, true] {
        let agent = agent(&authority).await;
        let callee = Callee::new(Transport::Tls).await;
        let mut invite = callee.invite();
        invite.address = format!("localhost:{}", callee.address.port()).parse().unwrap();
        let (placed, mut line) = tokio::join!(agent.invite(invite), tls_line(&callee, &server));
        let (dialog, mut events) = placed.unwrap();
        let (invite, _) = line.answer("").await;
        let us = agent.local_address(Transport::Tls).unwrap();
        assert!(invite.get("via").starts_with(&format!("SIP/2.0/TLS {us}")), "{invite:?}");
        assert!(
            invite.get("contact").to_ascii_lowercase().contains(&format!("@{us};transport=tls")),
            "{invite:?}"
        );
        assert_eq!(dialog.snapshot().unwrap().server_name.as_deref(), Some("localhost"));
        if dialled_back {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let stream = tokio::net::TcpStream::connect(us).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect(name, stream).await.unwrap();
            Line::stream(stream, callee.address, "TLS").bye(&invite, 10).await;
        } else {
            line.bye(&invite, 10).await;
        }
        let mut end = None;
        while let Some(event) = soon("the end", events.next()).await {
            if let outdial_sip::Event::Ended(cause) = event {
                end = Some(cause);
            }
        }
        assert!(matches!(end, Some(End::RemoteHangUp { .. })), "{end:?}");
        soon("the shutdown", agent.shutdown()).await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_authority_is_refused() {
    let trusted = authority();
    let agent = agent(&trusted).await;
    let callee = Callee::new(Transport::Tls).await;
    let strangers = [identity(&trusted, "other.example.com"), identity(&authority(), "localhost")];
    for stranger in strangers {
        let mut invite = callee.invite();
        invite.address = format!("localhost:{}", callee.address.port()).parse().unwrap();
        let server = acceptor(&stranger);
        let stream = async { server.accept(callee.stream().await).await };
        let (placed, shaken) = tokio::join!(agent.invite(invite), stream);
        let error = placed.unwrap_err();
        assert!(matches!(error, InviteError::Tls { .. }) && error.is_unreachable(), "{error}");
        assert!(shaken.is_err());
    }
    soon("the shutdown", agent.shutdown()).await;
}
