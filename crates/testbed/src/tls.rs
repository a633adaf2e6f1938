//! A client of a sidecar's inbound listener: with a workload's certificate, another's, or none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::certs::Certs;
use crate::http::Reply;

const PATIENCE: Duration = Duration::from_secs(15);

/// One request over a TLS connection of its own, as the workload `identity` of these certificates, or as nobody.
///
/// # Errors
/// When the other side refuses the connection, or doesn't answer in time.
pub async fn send(
    address: SocketAddr,
    certs: &Certs,
    identity: Option<&str>,
    request: Request<Full<Bytes>>,
) -> Result<Reply> {
    let connector = TlsConnector::from(Arc::new(config(certs, identity)?));
    let exchange = async {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        let stream = connector
            .connect(ServerName::IpAddress(address.ip().into()), stream)
            .await
            .context("the handshake")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Reply {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        let response = response.await;
        connection.abort();
        response.context("the request")
    };
    let who = identity.unwrap_or("nobody");
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("no answer within {PATIENCE:?}"))
        .flatten()
        .with_context(|| format!("TLS to {address} as {who}"))
}

fn config(certs: &Certs, identity: Option<&str>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain =
                CertificateDer::from_pem_slice(certs.read(&format!("{name}.pem"))?.as_bytes())?;
            let key =
                PrivateKeyDer::from_pem_slice(certs.read(&format!("{name}.key"))?.as_bytes())?;
            builder.with_client_auth_cert(vec![chain], key)?
        }
    })
}

/// Takes any server: what's tested is what the server makes of the client. (The names in the mesh's certificates are
/// SPIFFE URIs, which the usual verifier doesn't know.)
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
