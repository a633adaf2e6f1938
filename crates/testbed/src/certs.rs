//! The mesh's certificates: an authority, and for each workload a certificate with its SPIFFE URI, as Istio's.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

/// Long enough for a demo, short enough that no one keeps them.
const VALID: Duration = Duration::from_secs(30 * 24 * 3600);
/// For clocks that differ a little.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A folder of certificates: `ca.pem`, and `<name>.pem` with `<name>.key` for each workload.
#[derive(Debug, Clone)]
pub struct Certs {
    folder: PathBuf,
}

impl Certs {
    /// Makes an authority and a certificate for each name, in this folder.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(folder: impl Into<PathBuf>, names: &[&str]) -> Result<Self> {
        let certs = Self {
            folder: folder.into(),
        };
        std::fs::create_dir_all(&certs.folder)
            .with_context(|| format!("creating {}", certs.folder.display()))?;

        let mut authority = params("Pairwatch demo mesh")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        certs.write("ca.pem", &authority.pem())?;

        for name in names {
            let mut leaf = params(name)?;
            leaf.subject_alt_names = vec![SanType::URI(principal(name).try_into()?)];
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            leaf.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            leaf.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            let certificate = leaf.signed_by(&key, &authority)?;
            certs.write(&format!("{name}.pem"), &certificate.pem())?;
            certs.write(&format!("{name}.key"), &key.serialize_pem())?;
        }
        Ok(certs)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file's text: `ca.pem`, `catalog.pem`, `catalog.key`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// The SPIFFE URI of a workload of the demo.
#[must_use]
pub fn principal(name: &str) -> String {
    format!("spiffe://cluster.local/ns/demo/sa/{name}")
}

fn params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALID).into();
    Ok(params)
}
