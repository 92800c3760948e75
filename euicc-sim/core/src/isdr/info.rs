//! What the card tells about itself, and its addresses: GetEUICCInfo, GetEID, GetRAT, ES10a.
//! SGP.22 §5.7.3, §5.7.4, §5.7.8, §5.7.20, §5.7.22.

use super::Outcome;
use crate::card::{Card, SVN};
use crate::nvm::Nvm;
use aid_rsp::es10::{
    DataObject, EuiccConfiguredAddressesRequest, EuiccConfiguredAddressesResponse, EuiccInfo1,
    EuiccInfo2, GetEuiccDataRequest, GetEuiccDataResponse, GetEuiccInfo1Request,
    GetEuiccInfo2Request, GetRatRequest, SetDefaultDpAddressRequest, SetDefaultDpAddressResponse,
    SetDefaultDpAddressResult, SubjectKeyIdentifier, Version, rsp_capability, uicc_capability,
};
use aid_rsp::tlv::Writer;
use alloc::vec::Vec;

/// Free volatile memory to report, bytes: what a profile element may need.
const FREE_RAM: u32 = 64 * 1024;

/// What a profile may ask for, as the installer checks it.
const UICC_CAPABILITY: u32 = uicc_capability::USIM
    | uicc_capability::ISIM
    | uicc_capability::CSIM
    | uicc_capability::MILENAGE
    | uicc_capability::TUAK_128
    | uicc_capability::TUAK_256
    | uicc_capability::USIM_TEST_ALGORITHM
    | uicc_capability::MULTIPLE_NAA
    | uicc_capability::BER_TLV
    | uicc_capability::DF_LINK
    | uicc_capability::GET_IDENTITY
    | uicc_capability::SUCI_PROFILES;

impl<N: Nvm> Card<N> {
    pub(super) fn eid(&self, _: GetEuiccDataRequest) -> Vec<u8> {
        let eid = self.identity.eid;
        GetEuiccDataResponse { eid }.to_vec()
    }

    fn ci_for_verification(&self) -> Vec<SubjectKeyIdentifier> {
        let anchors = &self.identity.anchors;
        anchors.iter().map(|a| a.key_id().to_vec()).collect()
    }

    fn ci_for_signing(&self) -> Vec<SubjectKeyIdentifier> {
        self.identity.signing_cis().map(<[u8]>::to_vec).collect()
    }

    pub(super) fn euicc_info1(&self, _: GetEuiccInfo1Request) -> Vec<u8> {
        EuiccInfo1 {
            svn: Version(SVN),
            ci_pkid_for_verification: self.ci_for_verification(),
            ci_pkid_for_signing: self.ci_for_signing(),
        }
        .to_vec()
    }

    pub(super) fn get_euicc_info2(&self, _: GetEuiccInfo2Request) -> Vec<u8> {
        self.euicc_info2().to_vec()
    }

    pub(super) fn euicc_info2(&self) -> EuiccInfo2 {
        let profiles = &self.store.state().profiles;
        let mut resources = Writer::new();
        resources
            .primitive(0x81, &[profiles.len() as u8])
            .primitive(0x82, &self.free_memory().to_be_bytes())
            .primitive(0x83, &FREE_RAM.to_be_bytes());
        EuiccInfo2 {
            profile_version: Version([2, 3, 1]),
            svn: Version(SVN),
            firmware: Version([0, 1, 0]),
            ext_card_resource: resources.into_vec(),
            uicc_capability: UICC_CAPABILITY,
            ts102241_version: None,
            globalplatform_version: None,
            rsp_capability: self.capability(),
            ci_pkid_for_verification: self.ci_for_verification(),
            ci_pkid_for_signing: self.ci_for_signing(),
            category: None,
            forbidden_ppr: None,
            pp_version: Version([0, 0, 1]),
            sas_accreditation_number: "aid-euicc".into(),
        }
    }

    fn capability(&self) -> u32 {
        let mut bits = rsp_capability::CRL_SUPPORT | rsp_capability::DEVICE_INFO_EXTENSIBILITY;
        if self.store.state().free_slot().is_some() && self.free_memory() > 0 {
            bits |= rsp_capability::ADDITIONAL_PROFILE;
        }
        if self.options.test_profiles {
            bits |= rsp_capability::TEST_PROFILE_SUPPORT;
        }
        bits
    }

    /// Bytes left for profiles: what profiles and revocation lists have taken is gone.
    pub(super) fn free_memory(&self) -> u32 {
        let state = self.store.state();
        let profiles = state.profiles.iter();
        let used = profiles.fold(state.revocation_bytes, |n, p| n.saturating_add(p.size));
        self.options.memory.saturating_sub(used)
    }

    pub(super) fn rat(&self, _: GetRatRequest) -> Vec<u8> {
        self.options.rules.to_vec()
    }

    pub(super) fn configured_addresses(&self, _: EuiccConfiguredAddressesRequest) -> Vec<u8> {
        let address = &self.store.state().default_dp;
        EuiccConfiguredAddressesResponse {
            default_dp_address: (!address.is_empty()).then(|| address.clone()),
            root_ds_address: self.options.root_ds.clone(),
        }
        .to_vec()
    }

    pub(super) fn set_default_dp_address(&mut self, r: &SetDefaultDpAddressRequest) -> Outcome {
        let mut next = self.store.state().clone();
        next.default_dp.clone_from(&r.address);
        let result = self
            .commit(next, &[])
            .map(|()| SetDefaultDpAddressResult::Ok);
        let result = self.or_undefined(result, SetDefaultDpAddressResult::UndefinedError)?;
        Ok(SetDefaultDpAddressResponse { result }.to_vec())
    }
}
