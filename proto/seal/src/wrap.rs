//! Key wraps: the content key for one mailbox, HPKE base mode with X-Wing, bound to mailbox, epoch and header.
//!
//! The mode is a constant and never comes from the wire; every context seals or opens once; nothing here is signed.

use bytes::Bytes;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use valise_proto::bundle::{Epoch, PrekeyId};
use valise_proto::limits as l;
use valise_proto::names::Mailbox;
use valise_proto::signing::Hash;
use valise_proto::wire::KeyWrap;
use zeroize::Zeroizing;

use crate::keys::EpochSecret;
use crate::labels;
use crate::limits::CEK_BYTES;
use crate::schedule::Cek;

/// Flags of every wrap made here: none is defined yet ([S-11]).
const FLAGS: u8 = 0;

/// The published epoch cannot be sealed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {no} of `{mailbox}` states no usable X-Wing key; ask that party to publish a new batch")]
pub struct BadEpochKey {
    /// Whose.
    pub mailbox: Mailbox,
    /// Which.
    pub no: u64,
}

/// A wrap does not open. One value for every cause: X-Wing rejects implicitly, and no detail may leave ([S-25]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key wrap does not open")]
pub struct WrapFault;

/// Binds the wrap to its mailbox, to its epoch, and through the header hash ([S-9]) to all that the author signed.
fn info(mailbox: &Mailbox, prekey_id: &PrekeyId, header_hash: &Hash) -> Vec<u8> {
    let name = mailbox.as_str().as_bytes();
    let len = u8::try_from(name.len()).expect("invariant: a mailbox has at most 65 characters");
    [labels::WRAP, &[len], name, prekey_id, &header_hash.0].concat()
}

/// Wraps a content key for one mailbox. Needs no signature, so it can be done, or done again, long after sealing,
/// from the stored content key and header hash ([S-10], [S-12]).
pub fn seal_wrap(
    cek: &Cek,
    mailbox: &Mailbox,
    epoch: &Epoch,
    header_hash: &Hash,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<KeyWrap, BadEpochKey> {
    let bad = || BadEpochKey { mailbox: mailbox.clone(), no: epoch.no };
    let public = <XWing as Kem>::PublicKey::from_bytes(&epoch.xwing[..]).map_err(|_| bad())?;
    let prekey_id = epoch.prekey_id();
    let info = info(mailbox, &prekey_id, header_hash);
    let (enc, mut context) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &public,
        &info,
        &mut { rng },
    )
    .map_err(|_| bad())?;
    let mut plain = Zeroizing::new([FLAGS; CEK_BYTES + 1]);
    plain[..CEK_BYTES].copy_from_slice(cek.as_bytes());
    let ct = context.seal(&plain[..], b"").expect("invariant: the first seal of a context cannot overflow");
    Ok(KeyWrap {
        mailbox: mailbox.to_string(),
        prekey_id: Bytes::copy_from_slice(&prekey_id),
        psk_id: Bytes::new(),
        enc: Bytes::copy_from_slice(&enc.to_bytes()),
        ct: ct.into(),
    })
}

/// Opens a wrap with the epoch that its prekey id names. The key is proven only by the commitment of the header.
pub fn open_wrap(
    wrap: &KeyWrap,
    mailbox: &Mailbox,
    epoch: &EpochSecret,
    header_hash: &Hash,
) -> Result<Cek, WrapFault> {
    let ours = wrap.mailbox == mailbox.as_str() && wrap.prekey_id[..] == epoch.prekey_id()[..];
    // A resumption wrap names a secret that no party of this version can hold.
    if !ours || !wrap.psk_id.is_empty() || wrap.ct.len() != l::WRAP_CT_BYTES {
        return Err(WrapFault);
    }
    let enc = <XWing as Kem>::EncappedKey::from_bytes(&wrap.enc).map_err(|_| WrapFault)?;
    let info = info(mailbox, epoch.prekey_id(), header_hash);
    let plain = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        epoch.xwing(),
        &enc,
        &info,
    )
    .and_then(|mut context| context.open(&wrap.ct, b""))
    .map_err(|_| WrapFault)?;
    let plain = Zeroizing::new(plain);
    let (cek, _flags) = plain.split_first_chunk::<CEK_BYTES>().ok_or(WrapFault)?;
    Ok(Cek::from_bytes(cek))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chance, Party};

    const HASH: Hash = Hash([8; 32]);

    fn wrapped(party: &Party) -> (Cek, KeyWrap) {
        let mut chance = Chance::new("wrap");
        let cek = Cek::random(&mut chance);
        let wrap = seal_wrap(&cek, &party.mailbox, &party.epoch, &HASH, &mut chance).unwrap();
        (cek, wrap)
    }

    fn opened(party: &Party, wrap: &KeyWrap, hash: &Hash) -> Result<Cek, WrapFault> {
        let id = party.epoch.prekey_id();
        open_wrap(wrap, &party.mailbox, party.keyring.find(&party.mailbox, &id).unwrap(), hash)
    }

    #[test]
    fn a_wrap_opens_for_its_mailbox_epoch_and_header_only() {
        let (br, minustah) = (Party::new("br"), Party::new("minustah"));
        let (cek, wrap) = wrapped(&br);
        assert!(valise_proto::wire::encoded_len(&wrap) <= l::WRAP_MAX);
        assert_eq!(opened(&br, &wrap, &HASH).unwrap().as_bytes(), cek.as_bytes());
        assert_eq!(opened(&br, &wrap, &Hash([9; 32])).err(), Some(WrapFault), "another header");
        assert_eq!(opened(&minustah, &wrap, &HASH).err(), Some(WrapFault), "another mailbox");
        let misaddressed = KeyWrap { mailbox: "bs".into(), ..wrap.clone() };
        assert_eq!(opened(&br, &misaddressed, &HASH).err(), Some(WrapFault), "our key, another's label");
        let relabelled = KeyWrap {
            mailbox: "minustah".into(),
            prekey_id: Bytes::copy_from_slice(&minustah.epoch.prekey_id()),
            ..wrap
        };
        assert_eq!(opened(&minustah, &relabelled, &HASH).err(), Some(WrapFault), "under another label");
    }

    /// X-Wing never says that a ciphertext is wrong; a wrong key only shows in the tag. Whatever part of a wrap is
    /// damaged, the answer is the same.
    #[test]
    fn implicit_rejection_gives_the_same_fault() {
        let br = Party::new("br");
        let (_, wrap) = wrapped(&br);
        let damaged = |change: fn(&mut Vec<u8>), enc: bool| {
            let mut bytes = if enc { wrap.enc.to_vec() } else { wrap.ct.to_vec() };
            change(&mut bytes);
            let mut wrap = wrap.clone();
            *(if enc { &mut wrap.enc } else { &mut wrap.ct }) = bytes.into();
            opened(&br, &wrap, &HASH).err()
        };
        assert_eq!(damaged(|enc| enc[0] ^= 1, true), Some(WrapFault), "ML-KEM half");
        assert_eq!(damaged(|enc| enc[1119] ^= 0x80, true), Some(WrapFault), "X25519 half");
        assert_eq!(damaged(|enc| enc[1088..].fill(0), true), Some(WrapFault), "zero share");
        assert_eq!(damaged(|enc| enc.truncate(32), true), Some(WrapFault), "short");
        assert_eq!(damaged(|ct| ct[48] ^= 1, false), Some(WrapFault), "tag");
        assert_eq!(damaged(|ct| ct.truncate(48), false), Some(WrapFault), "short tag");
        let psk = KeyWrap { psk_id: Bytes::from_static(&[1; 16]), ..wrap.clone() };
        assert_eq!(opened(&br, &psk, &HASH).err(), Some(WrapFault), "resumption");
    }

    #[test]
    fn two_wraps_of_one_key_share_nothing() {
        let br = Party::new("br");
        let (cek, first) = wrapped(&br);
        let again = seal_wrap(&cek, &br.mailbox, &br.epoch, &HASH, &mut Chance::new("again")).unwrap();
        assert!(first.enc != again.enc && first.ct != again.ct);
    }

    #[test]
    fn a_key_that_is_none_is_refused_before_anything_is_sealed() {
        let mut br = Party::new("br");
        br.epoch.xwing.fill(0xff);
        let cek = Cek::random(&mut Chance::new("wrap"));
        let fault = seal_wrap(&cek, &br.mailbox, &br.epoch, &HASH, &mut Chance::new("wrap")).unwrap_err();
        assert_eq!(fault.no, 1);
    }
}
