//! The commands of ES8+: InitialiseSecureChannel, ConfigureISDP, ReplaceSessionKeys.
//! SGP.22 §5.5.1, §5.5.2, §5.5.4.

use crate::bsp::{KEY_LEN, KEY_TYPE_AES, SessionKeys};
use crate::es10::{DataObject, Signature, TransactionId};
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer};
use alloc::vec::Vec;

/// remoteOpId installBoundProfilePackage.
pub const REMOTE_OP_INSTALL_BPP: u64 = 1;

const OTPK: Tag = 0x5F49;

/// ControlRefTemplate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRefTemplate {
    /// 0x88, AES.
    pub key_type: u8,
    /// 0x10, 16 bytes.
    pub key_len: u8,
    /// Host id, 1 to 16 bytes; enters the key derivation.
    pub host_id: Vec<u8>,
}

impl ControlRefTemplate {
    /// AES-128 with this host id.
    #[must_use]
    pub fn aes128(host_id: &[u8]) -> Self {
        Self {
            key_type: KEY_TYPE_AES,
            key_len: KEY_LEN,
            host_id: host_id.to_vec(),
        }
    }
}

/// InitialiseSecureChannelRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialiseSecureChannelRequest {
    /// [`REMOTE_OP_INSTALL_BPP`].
    pub remote_op_id: u64,
    /// The session.
    pub transaction_id: TransactionId,
    /// Keys to be made.
    pub control_ref_template: ControlRefTemplate,
    /// otPK.DP.ECKA, 65 bytes on P-256.
    pub smdp_otpk: Vec<u8>,
    /// smdpSign over [`Self::signed_part`].
    pub smdp_sign: Signature,
}

/// An InitialiseSecureChannelRequest with the bytes that smdpSign covers, as they were received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedInitialise {
    /// What it says.
    pub request: InitialiseSecureChannelRequest,
    /// The data objects before smdpSign.
    unsigned: Vec<u8>,
}

impl ReceivedInitialise {
    /// Reads it.
    ///
    /// # Errors
    /// Not an InitialiseSecureChannelRequest.
    pub fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        let request = InitialiseSecureChannelRequest::read(tlv)?;
        let end = tlv.value.len() - request.smdp_sign.to_tlv().len();
        Ok(Self {
            request,
            unsigned: tlv.value[..end].to_vec(),
        })
    }

    /// What smdpSign covers: the data objects before it, and otPK.EUICC.ECKA (§5.5.1).
    #[must_use]
    pub fn signed_part(&self, euicc_otpk: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.unsigned).primitive(OTPK, euicc_otpk);
        w.into_vec()
    }
}

impl InitialiseSecureChannelRequest {
    fn write_unsigned(&self, w: &mut Writer) {
        w.uint(0x82, self.remote_op_id)
            .primitive(0x80, self.transaction_id.as_bytes());
        w.constructed(0xA6, |w| {
            let crt = &self.control_ref_template;
            w.primitive(0x80, &[crt.key_type])
                .primitive(0x81, &[crt.key_len])
                .primitive(0x84, &crt.host_id);
        });
        w.primitive(OTPK, &self.smdp_otpk);
    }

    /// What smdpSign covers: the data objects before it, and otPK.EUICC.ECKA (§5.5.1).
    #[must_use]
    pub fn signed_part(&self, euicc_otpk: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        self.write_unsigned(&mut w);
        w.primitive(OTPK, euicc_otpk);
        w.into_vec()
    }
}

impl DataObject for InitialiseSecureChannelRequest {
    const TAG: Tag = 0xBF23;
    fn write_value(&self, w: &mut Writer) {
        self.write_unsigned(w);
        w.primitive(0x5F37, self.smdp_sign.as_bytes());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let remote_op_id = r.expect(0x82)?.uint()?;
        let transaction_id = TransactionId::expect(r)?;
        let mut crt = r.expect(0xA6)?.children();
        let [key_type] = crt.expect(0x80)?.array()?;
        let [key_len] = crt.expect(0x81)?.array()?;
        let host_id = crt.expect(0x84)?.bytes(1, 16)?.to_vec();
        let request = Self {
            remote_op_id,
            transaction_id,
            control_ref_template: ControlRefTemplate {
                key_type,
                key_len,
                host_id,
            },
            smdp_otpk: r.expect(OTPK)?.bytes(1, 133)?.to_vec(),
            smdp_sign: Signature::expect(r)?,
        };
        // Nothing that no signature covers.
        r.finish()?;
        Ok(request)
    }
}

/// ConfigureISDPRequest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigureIsdpRequest {
    /// Contents of DpProprietaryData: up to 128 bytes with tag and length (§5.5.2).
    pub dp_proprietary_data: Option<Vec<u8>>,
}

impl DataObject for ConfigureIsdpRequest {
    const TAG: Tag = 0xBF24;
    fn write_value(&self, w: &mut Writer) {
        w.optional(0xB8, self.dp_proprietary_data.as_deref());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            dp_proprietary_data: match r.optional(0xB8)? {
                None => None,
                Some(t) => Some(t.bytes(0, 126)?.to_vec()),
            },
        })
    }
}

/// ReplaceSessionKeysRequest: from here on the profile is under keys it was protected with before.
#[derive(Clone)]
pub struct ReplaceSessionKeysRequest {
    /// Initial MAC chaining value, PPK-ENC, PPK-MAC.
    pub keys: SessionKeys,
}

impl core::fmt::Debug for ReplaceSessionKeysRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ReplaceSessionKeysRequest { .. }")
    }
}

impl DataObject for ReplaceSessionKeysRequest {
    const TAG: Tag = 0xBF26;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x80, self.keys.initial_chaining())
            .primitive(0x81, self.keys.expose_enc())
            .primitive(0x82, self.keys.expose_mac());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let chaining = r.expect(0x80)?.array()?;
        let enc = r.expect(0x81)?.array()?;
        let mac = r.expect(0x82)?.array()?;
        Ok(Self {
            keys: SessionKeys::new(chaining, enc, mac),
        })
    }
}
