//! Revocation lists: empty ones from the first day, because a missing list refuses everybody under its CA.

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateRevocationListDer;
use valise_proto::limits::DAY_MS;

use crate::fault::MintFault;
use crate::mint::{Mint, moment};
use crate::papers::Authority;

/// Life of a lab's lists: nobody renews them there.
pub const LAB_CRL_LIFE_MS: u64 = 30 * DAY_MS;

/// A certificate that no longer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// As in the certificate.
    pub serial: Vec<u8>,
    /// From when on, Unix milliseconds, seconds count.
    pub since_ms: u64,
}

impl Mint {
    /// A list of an authority. Numbers only go up; `life_ms` is the time until the next is due.
    pub fn crl(
        &self,
        authority: &Authority,
        number: u64,
        revoked: &[Revoked],
        life_ms: u64,
    ) -> Result<CertificateRevocationListDer<'static>, MintFault> {
        let entry = |one: &Revoked| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(one.serial.clone()),
                revocation_time: moment(one.since_ms)?,
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
        };
        let params = CertificateRevocationListParams {
            this_update: moment(self.now_ms())?,
            next_update: moment(self.now_ms() + life_ms)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect::<Result<_, MintFault>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(authority.issuer())?.into())
    }
}
