//! Authorities of the tests, and what they vouch for.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use std::sync::Arc;
use std::time::Duration;

/// Somebody who vouches.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Their own certificate, in PEM form.
    pub(super) pem: String,
}

/// A certificate and its key, in PEM form.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for hosts.
    pub(super) fn server(&self, names: &[&str]) -> Issued {
        self.vouch(names, ExtendedKeyUsagePurpose::ServerAuth, |_params| {})
    }

    /// One that ended long ago.
    pub(super) fn ended_server(&self, names: &[&str]) -> Issued {
        self.vouch(names, ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        })
    }

    /// One that ends in so many seconds.
    pub(super) fn client_for(&self, name: &str, seconds: u64) -> Issued {
        self.vouch(&[name], ExtendedKeyUsagePurpose::ClientAuth, |params| {
            let now = bearward::clock::now().seconds();
            let end = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.unsigned_abs() + seconds);
            params.not_after = end;
        })
    }

    /// A certificate for a client.
    pub(super) fn client_identity(&self, name: &str) -> Issued {
        self.vouch(&[name], ExtendedKeyUsagePurpose::ClientAuth, |_params| {})
    }

    /// One for a client that ended long ago.
    pub(super) fn ended_client(&self, name: &str) -> Issued {
        self.vouch(&[name], ExtendedKeyUsagePurpose::ClientAuth, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        })
    }

    fn vouch(
        &self,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages.push(purpose);
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let pem = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(pem).expect("an authority");
        roots
    }

    /// A client that trusts in this authority.
    pub(super) fn client(&self, identity: Option<&Issued>) -> Arc<ClientConfig> {
        self.client_of(identity, &[&version::TLS13, &version::TLS12])
    }

    pub(super) fn client_of(
        &self,
        identity: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots());
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.der();
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        Arc::new(config)
    }

    /// A server that shows a certificate, and takes clients of this authority only if it is to ask.
    pub(super) fn server_of(&self, identity: &Issued, asks: bool) -> Arc<ServerConfig> {
        let (chain, key) = identity.der();
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if asks {
            let roots = Arc::new(self.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("authorities"))
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(chain, key).expect("they belong together"))
    }
}

impl Issued {
    pub(super) fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key"))
    }
}
