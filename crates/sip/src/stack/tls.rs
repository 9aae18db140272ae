//! TLS settings. The crypto provider is named, as other crates in one program may bring another.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Settings, StartError, TlsListener};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusts the roots of the system and those of the settings.
pub(super) fn client(settings: &Settings) -> Result<Arc<ClientConfig>, StartError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(pem) = &settings.tls_roots {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots
                .add(certificate.map_err(|e| failed("an extra root", &e))?)
                .map_err(|e| failed("an extra root", &e))?;
        }
    }
    if roots.is_empty() {
        tracing::debug!("there are no root certificates; no SIP server can be trusted over TLS");
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| failed("the protocol versions", &e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

pub(super) fn server(listener: &TlsListener) -> Result<Arc<ServerConfig>, StartError> {
    let chain = CertificateDer::pem_slice_iter(&listener.certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| failed("the certificate", &e))?;
    let key = PrivateKeyDer::from_pem_slice(&listener.key).map_err(|e| failed("the key", &e))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| failed("the protocol versions", &e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| failed("the certificate", &e))?;
    Ok(Arc::new(config))
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> StartError {
    StartError::Tls(format!("{what}: {error}"))
}
