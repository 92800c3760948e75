//! ES10c and ES10a: enable, disable, delete, reset, nickname, addresses, rules.
//! SGP.22 §5.7.3, §5.7.4, §5.7.16 to §5.7.22.

use super::code::{code_response, empty_request, result_codes};
use super::metadata::OperatorId;
use super::object::DataObject;
use super::tag;
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer, universal};
use alloc::{string::String, vec::Vec};

/// Which profile: by ISD-P or by ICCID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileIdentifier {
    /// AID of the ISD-P, 1 to 16 bytes.
    IsdpAid(Vec<u8>),
    /// ICCID, swapped BCD.
    Iccid([u8; 10]),
}

impl ProfileIdentifier {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::IsdpAid(aid) => w.primitive(tag::AID, aid),
            Self::Iccid(iccid) => w.primitive(tag::ICCID, iccid),
        };
    }

    fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        match tlv.tag {
            tag::AID => Ok(Self::IsdpAid(tlv.bytes(1, 16)?.to_vec())),
            tag::ICCID => Ok(Self::Iccid(tlv.array()?)),
            got => Err(TlvError::UnexpectedTag {
                expected: tag::ICCID,
                got,
            }),
        }
    }
}

/// Defines Enable- and DisableProfileRequest, which differ by their tag.
macro_rules! switch_request {
    ($(#[$m:meta])* $name:ident, $tag:literal) => {
        $(#[$m])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            /// The profile.
            pub profile: ProfileIdentifier,
            /// Is a REFRESH to follow?
            pub refresh: bool,
        }

        impl DataObject for $name {
            const TAG: Tag = $tag;
            fn write_value(&self, w: &mut Writer) {
                w.constructed(0xA0, |w| self.profile.write(w))
                    .boolean(0x81, self.refresh);
            }
            fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
                Ok(Self {
                    profile: ProfileIdentifier::read(&r.expect(0xA0)?.children().any()?)?,
                    refresh: r.expect(0x81)?.boolean()?,
                })
            }
        }
    };
}

switch_request!(
    /// EnableProfileRequest.
    EnableProfileRequest, 0xBF31
);
switch_request!(
    /// DisableProfileRequest.
    DisableProfileRequest, 0xBF32
);

result_codes! {
    /// enableResult.
    EnableResult otherwise UndefinedError {
        /// Enabled.
        Ok = 0 "ok",
        /// No such profile.
        NotFound = 1 "iccidOrAidNotFound",
        /// It is enabled already.
        NotInDisabledState = 2 "profileNotInDisabledState",
        /// PPR1 of the enabled profile, or of this one.
        DisallowedByPolicy = 3 "disallowedByPolicy",
        /// Test profile: another one must be enabled again.
        WrongProfileReenabling = 4 "wrongProfileReenabling",
        /// A proactive session is going on.
        CatBusy = 5 "catBusy",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}
result_codes! {
    /// disableResult.
    DisableResult otherwise UndefinedError {
        /// Disabled.
        Ok = 0 "ok",
        /// No such profile.
        NotFound = 1 "iccidOrAidNotFound",
        /// It is disabled already.
        NotInEnabledState = 2 "profileNotInEnabledState",
        /// PPR1.
        DisallowedByPolicy = 3 "disallowedByPolicy",
        /// A proactive session is going on.
        CatBusy = 5 "catBusy",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}
result_codes! {
    /// deleteResult.
    DeleteResult otherwise UndefinedError {
        /// Deleted.
        Ok = 0 "ok",
        /// No such profile.
        NotFound = 1 "iccidOrAidNotFound",
        /// It is enabled.
        NotInDisabledState = 2 "profileNotInDisabledState",
        /// PPR2.
        DisallowedByPolicy = 3 "disallowedByPolicy",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}
result_codes! {
    /// resetResult.
    ResetResult otherwise UndefinedError {
        /// Done.
        Ok = 0 "ok",
        /// There was nothing.
        NothingToDelete = 1 "nothingToDelete",
        /// A proactive session is going on.
        CatBusy = 5 "catBusy",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}
result_codes! {
    /// setNicknameResult.
    SetNicknameResult otherwise UndefinedError {
        /// Set.
        Ok = 0 "ok",
        /// No such profile.
        IccidNotFound = 1 "iccidNotFound",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}
result_codes! {
    /// setDefaultDpAddressResult.
    SetDefaultDpAddressResult otherwise UndefinedError {
        /// Set.
        Ok = 0 "ok",
        /// Not set.
        UndefinedError = 127 "undefinedError",
    }
}

code_response!(
    /// EnableProfileResponse.
    EnableProfileResponse, 0xBF31, result: EnableResult
);
code_response!(
    /// DisableProfileResponse.
    DisableProfileResponse, 0xBF32, result: DisableResult
);
code_response!(
    /// DeleteProfileResponse.
    DeleteProfileResponse, 0xBF33, result: DeleteResult
);
code_response!(
    /// EuiccMemoryResetResponse.
    EuiccMemoryResetResponse, 0xBF34, result: ResetResult
);
code_response!(
    /// SetNicknameResponse.
    SetNicknameResponse, 0xBF29, result: SetNicknameResult
);
code_response!(
    /// SetDefaultDpAddressResponse.
    SetDefaultDpAddressResponse, 0xBF3F, result: SetDefaultDpAddressResult
);
empty_request!(
    /// EuiccConfiguredAddressesRequest.
    EuiccConfiguredAddressesRequest, 0xBF3C
);
empty_request!(
    /// GetRatRequest.
    GetRatRequest, 0xBF43
);

/// DeleteProfileRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteProfileRequest {
    /// The profile.
    pub profile: ProfileIdentifier,
}

impl DataObject for DeleteProfileRequest {
    const TAG: Tag = 0xBF33;
    fn write_value(&self, w: &mut Writer) {
        self.profile.write(w);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            profile: ProfileIdentifier::read(&r.any()?)?,
        })
    }
}

/// Bits of resetOptions.
pub mod reset_options {
    /// Operational profiles.
    pub const DELETE_OPERATIONAL_PROFILES: u32 = 1 << 31;
    /// Test profiles that were loaded in the field.
    pub const DELETE_FIELD_LOADED_TEST_PROFILES: u32 = 1 << 30;
    /// Default SM-DP+ address.
    pub const RESET_DEFAULT_SMDP_ADDRESS: u32 = 1 << 29;
}

/// EuiccMemoryResetRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EuiccMemoryResetRequest {
    /// See [`reset_options`].
    pub options: u32,
}

impl DataObject for EuiccMemoryResetRequest {
    const TAG: Tag = 0xBF34;
    fn write_value(&self, w: &mut Writer) {
        w.bits(0x82, self.options);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let field = r.expect(0x82)?;
        // pySim leaves out the octet that counts the unused bits; no BIT STRING looks like that.
        let options = match field.value {
            [flags] if *flags != 0 && flags & 0x07 == 0 => u32::from(*flags) << 24,
            _ => field.bits()?,
        };
        Ok(Self { options })
    }
}

/// SetNicknameRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetNicknameRequest {
    /// The profile, swapped BCD.
    pub iccid: [u8; 10],
    /// Up to 64 bytes; empty removes it.
    pub nickname: String,
}

impl DataObject for SetNicknameRequest {
    const TAG: Tag = 0xBF29;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(tag::ICCID, &self.iccid)
            .primitive(0x90, self.nickname.as_bytes());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            iccid: r.expect(tag::ICCID)?.array()?,
            nickname: r.expect(0x90)?.text(64)?.into(),
        })
    }
}

/// EuiccConfiguredAddressesResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccConfiguredAddressesResponse {
    /// Default SM-DP+, where set; up to 255 bytes.
    pub default_dp_address: Option<String>,
    /// Root SM-DS, up to 255 bytes.
    pub root_ds_address: String,
}

impl DataObject for EuiccConfiguredAddressesResponse {
    const TAG: Tag = 0xBF3C;
    fn write_value(&self, w: &mut Writer) {
        w.optional(0x80, self.default_dp_address.as_ref().map(|a| a.as_bytes()))
            .primitive(0x81, self.root_ds_address.as_bytes());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            default_dp_address: match r.optional(0x80)? {
                None => None,
                Some(t) => Some(t.text(255)?.into()),
            },
            root_ds_address: r.expect(0x81)?.text(255)?.into(),
        })
    }
}

/// SetDefaultDpAddressRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDefaultDpAddressRequest {
    /// FQDN up to 255 bytes; empty removes it.
    pub address: String,
}

impl DataObject for SetDefaultDpAddressRequest {
    const TAG: Tag = 0xBF3F;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x80, self.address.as_bytes());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            address: r.expect(0x80)?.text(255)?.into(),
        })
    }
}

/// GetRatResponse: the Rules Authorisation Table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetRatResponse {
    /// pprIds, allowed operators, is consent required.
    pub rules: Vec<(u32, Vec<OperatorId>, bool)>,
}

impl DataObject for GetRatResponse {
    const TAG: Tag = 0xBF43;
    fn write_value(&self, w: &mut Writer) {
        w.constructed(0xA0, |w| {
            for (pprs, operators, consent) in &self.rules {
                w.constructed(universal::SEQUENCE, |w| {
                    w.bits(0x80, *pprs);
                    w.constructed(0xA1, |w| {
                        operators
                            .iter()
                            .for_each(|o| o.write(w, universal::SEQUENCE));
                    });
                    w.bits(0x82, if *consent { 1 << 31 } else { 0 });
                });
            }
        });
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let mut rules = Vec::new();
        let mut list = r.expect(0xA0)?.children();
        while !list.is_empty() {
            let mut rule = list.expect(universal::SEQUENCE)?.children();
            let pprs = rule.expect(0x80)?.bits()?;
            let mut operators = Vec::new();
            let mut inside = rule.expect(0xA1)?.children();
            while let Some(operator) = inside.read()? {
                operators.push(OperatorId::read(&operator)?);
            }
            rules.push((pprs, operators, rule.expect(0x82)?.bits()? & 1 << 31 != 0));
        }
        Ok(Self { rules })
    }
}
