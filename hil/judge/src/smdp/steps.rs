//! The steps of orders and downloads as the judge plays them.

use super::Rig;
use super::rig::Placed;
use super::said::Said;
use crate::rsp::euicc::Euicc;
use crate::rsp::findings::{Checked, must};
use crate::test::Finding;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{KeyPair, hash_confirmation_code};
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, Base64, CancelSessionRequest, Empty,
    GetBoundProfilePackageOk, GetBoundProfilePackageRequest, Hex, InitiateAuthenticationOk,
    InitiateAuthenticationRequest, Text,
};
use aid_rsp::es10::{
    AuthenticateResponseOk, AuthenticateServerResponse, DataObject, EuiccInfo1, EuiccSigned1,
    EuiccSigned2, ServerSigned1, Signed, SmdpSigned2, TransactionId, eid_digits,
};
use serde_json::json;

/// A session that the server has opened.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) ok: InitiateAuthenticationOk,
    pub(super) signed: Signed<ServerSigned1>,
    pub(super) challenge: [u8; 16],
    pub(super) id: TransactionId,
}

/// A session in which the server has offered a profile.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) begun: Begun,
    pub(super) response: AuthenticateResponseOk,
    pub(super) ok: AuthenticateClientOk,
    pub(super) signed: Signed<SmdpSigned2>,
    pub(super) dppb: Certificate,
}

/// How an order is placed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish<'a> {
    /// Bound to this eUICC.
    pub(super) eid: Option<&'a str>,
    /// Confirmation Code.
    pub(super) code: Option<&'a str>,
    /// Not released.
    pub(super) held: bool,
    /// MatchingID of the operator's choice.
    pub(super) matching_id: Option<&'a str>,
}

impl Rig {
    /// The request of InitiateAuthentication.
    pub(super) fn initiate_request(
        &mut self,
        address: &str,
        info: &EuiccInfo1,
    ) -> Checked<(InitiateAuthenticationRequest, [u8; 16])> {
        let challenge = self.rng.bytes();
        let unfit = || Finding::Hidden(format!("{address:?} does not fit in smdpAddress"));
        let request = InitiateAuthenticationRequest {
            euicc_challenge: base64(&challenge)?,
            euicc_info1: base64(&info.to_vec())?,
            smdp_address: Text::new(address).ok_or_else(unfit)?,
        };
        Ok((request, challenge))
    }

    /// InitiateAuthentication, which must succeed.
    pub(super) fn initiate(&mut self) -> Checked<Begun> {
        let (address, info) = (self.address(), self.euicc.info1());
        let (request, challenge) = self.initiate_request(&address, &info)?;
        let said: Said<InitiateAuthenticationOk> = self.es9_call(&request)?;
        let ok = said.executed("InitiateAuthentication")?;
        let signed = Signed::from_slice(ok.server_signed1.as_bytes())
            .map_err(|e| Finding::broken("InitiateAuthentication: serverSigned1", e.to_string()))?;
        let id = TransactionId::new(ok.transaction_id.as_bytes())
            .ok_or_else(|| Finding::broken("transactionId of 1 to 16 bytes", "another length"))?;
        Ok(Begun {
            ok,
            signed,
            challenge,
            id,
        })
    }

    /// AuthenticateClient with a response for a transactionId.
    pub(super) fn authenticate_client(
        &mut self,
        id: &Hex<16>,
        response: &AuthenticateServerResponse,
    ) -> Checked<Said<AuthenticateClientOk>> {
        let request = AuthenticateClientRequest {
            transaction_id: id.clone(),
            authenticate_server_response: base64(&response.to_vec())?,
        };
        self.es9_call(&request)
    }

    /// What an eUICC signs in a new session, changed by a test, and what the server says to it.
    pub(super) fn authenticate_as(
        &mut self,
        card: &Euicc,
        matching_id: Option<&str>,
        change: impl FnOnce(&mut EuiccSigned1),
        spoil: impl FnOnce(&mut AuthenticateResponseOk),
    ) -> Checked<Said<AuthenticateClientOk>> {
        let begun = self.initiate()?;
        let mut value = card.signed1(begun.signed.value(), matching_id);
        change(&mut value);
        let mut response = card.authenticate(value)?;
        spoil(&mut response);
        let response = AuthenticateServerResponse::Ok(Box::new(response));
        self.authenticate_client(&begun.ok.transaction_id, &response)
    }

    /// Both halves of the authentication, which must succeed.
    pub(super) fn offer(&mut self, matching_id: &str) -> Checked<Offered> {
        let begun = self.initiate()?;
        let card = self.euicc.clone();
        let response = card.authenticate(card.signed1(begun.signed.value(), Some(matching_id)))?;
        let sent = AuthenticateServerResponse::Ok(Box::new(response.clone()));
        let said = self.authenticate_client(&begun.ok.transaction_id, &sent)?;
        let ok = said.executed("AuthenticateClient with the MatchingID of a released order")?;
        let signed = Signed::from_slice(ok.smdp_signed2.as_bytes())
            .map_err(|e| Finding::broken("AuthenticateClient: smdpSigned2", e.to_string()))?;
        let dppb = Certificate::from_der(ok.smdp_certificate.as_bytes())
            .map_err(|e| Finding::broken("AuthenticateClient: smdpCertificate", e.to_string()))?;
        Ok(Offered {
            begun,
            response,
            ok,
            signed,
            dppb,
        })
    }

    /// GetBoundProfilePackage with a one-time key and, where given, a Confirmation Code.
    pub(super) fn package(
        &mut self,
        offered: &Offered,
        key: &KeyPair,
        code: Option<&str>,
    ) -> Checked<Said<GetBoundProfilePackageOk>> {
        let id = offered.begun.id;
        let value = EuiccSigned2 {
            transaction_id: id,
            euicc_otpk: key.public.as_bytes().to_vec(),
            hash_cc: code.map(|code| hash_confirmation_code(code, id.as_bytes())),
        };
        self.package_of(offered, value)
    }

    /// The same with any values.
    pub(super) fn package_of(
        &mut self,
        offered: &Offered,
        value: EuiccSigned2,
    ) -> Checked<Said<GetBoundProfilePackageOk>> {
        let response = self
            .euicc
            .prepare(value, offered.ok.smdp_signature2.as_bytes())?;
        self.get_package(&offered.begun.ok.transaction_id, &response.to_vec())
    }

    /// GetBoundProfilePackage with these bytes.
    pub(super) fn get_package(
        &mut self,
        id: &Hex<16>,
        response: &[u8],
    ) -> Checked<Said<GetBoundProfilePackageOk>> {
        let request = GetBoundProfilePackageRequest {
            transaction_id: id.clone(),
            prepare_download_response: base64(response)?,
        };
        self.es9_call(&request)
    }

    /// CancelSession with these bytes.
    pub(super) fn cancel_session(&mut self, id: &Hex<16>, response: &[u8]) -> Checked<Said<Empty>> {
        let request = CancelSessionRequest {
            transaction_id: id.clone(),
            cancel_session_response: base64(response)?,
        };
        self.es9_call(&request)
    }

    /// A new one-time key for an offer.
    pub(super) fn one_time_key(&mut self, offered: &Offered) -> KeyPair {
        self.euicc.one_time_key(&offered.dppb, &mut self.rng)
    }

    /// A released order without Confirmation Code: of the operator that the judge is, or out of the target file.
    pub(super) fn order(&mut self) -> Checked<Placed> {
        if self.es2().is_ok() {
            return self.place(Wish::default());
        }
        let matching_id = self.given().ok_or_else(|| {
            Finding::Lacking("the orders of matching_ids in the target file are used up".to_owned())
        })?;
        Ok(Placed {
            iccid: String::new(),
            eid: None,
            matching_id,
        })
    }

    /// DownloadOrder; the ICCID.
    pub(super) fn reserve(&mut self, eid: Option<&str>) -> Checked<String> {
        let (_, operator) = self.es2().map_err(Finding::Lacking)?.clone();
        let mut body = json!({});
        if let Some(eid) = eid {
            body["eid"] = json!(eid);
        }
        if let Some(iccid) = &operator.iccid {
            body["iccid"] = json!(iccid);
        }
        if let Some(profile_type) = &operator.profile_type {
            body["profileType"] = json!(profile_type);
        }
        let spoken = self.es2_call("downloadOrder", body)?;
        let answer = spoken.executed("DownloadOrder of an available profile")?;
        let iccid = answer["iccid"].as_str().unwrap_or_default().to_owned();
        must(
            (18..=20).contains(&iccid.len()),
            "DownloadOrder: iccid of 18 to 20 digits",
            || answer.to_string(),
        )?;
        self.placed(Placed {
            iccid: iccid.clone(),
            eid: eid.map(Into::into),
            matching_id: String::new(),
        });
        Ok(iccid)
    }

    /// DownloadOrder and ConfirmOrder.
    pub(super) fn place(&mut self, wish: Wish<'_>) -> Checked<Placed> {
        let iccid = self.reserve(wish.eid)?;
        let mut body = json!({"iccid": iccid, "releaseFlag": !wish.held});
        for (name, value) in [
            ("eid", wish.eid),
            ("confirmationCode", wish.code),
            ("matchingId", wish.matching_id),
        ] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        let answer = self
            .es2_call("confirmOrder", body)?
            .executed("ConfirmOrder of an order that was placed")?;
        let matching_id = answer["matchingId"].as_str().unwrap_or_default().to_owned();
        must(!matching_id.is_empty(), "ConfirmOrder: matchingId", || {
            answer.to_string()
        })?;
        Ok(Placed {
            iccid,
            eid: wish.eid.map(Into::into),
            matching_id,
        })
    }

    /// EID of the judge's eUICC, 32 digits.
    pub(super) fn eid(&self) -> String {
        eid_digits(&self.euicc.eid)
    }
}

/// Bytes as a field of JSON.
pub(super) fn base64<const MAX: usize>(bytes: &[u8]) -> Checked<Base64<MAX>> {
    Base64::new(bytes.to_vec())
        .ok_or_else(|| Finding::Hidden(format!("{} bytes do not fit in a field", bytes.len())))
}
