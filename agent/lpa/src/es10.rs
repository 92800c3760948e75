//! ES10a, ES10b and ES10c as typed calls. SGP.22 §5.7.

use crate::card::Card;
use crate::error::{CardError, LpaError};
use crate::read::Unread;
use aid_port::{Apdu, TransportError};
use aid_rsp::es8;
use aid_rsp::es10::{
    AuthenticateServerRequest, CancelSessionReason, CancelSessionRequest, DataObject as _,
    DeleteProfileRequest, DeleteProfileResponse, DeleteResult, DisableProfileRequest,
    DisableProfileResponse, DisableResult, EnableProfileRequest, EnableProfileResponse,
    EnableResult, EuiccMemoryResetRequest, EuiccMemoryResetResponse, GetEuiccChallengeRequest,
    GetEuiccChallengeResponse, GetEuiccDataRequest, GetEuiccDataResponse, GetEuiccInfo1Request,
    GetRatRequest, GetRatResponse, NotificationSentRequest, NotificationSentResponse,
    NotificationSentStatus, PrepareDownloadRequest, ProfileIdentifier, ProfileInfo, ProfileState,
    ResetResult, SetDefaultDpAddressRequest, SetDefaultDpAddressResponse,
    SetDefaultDpAddressResult, SetNicknameRequest, SetNicknameResponse, SetNicknameResult,
    TransactionId,
};
use aid_rsp::tlv::TlvError;

/// Result `Ok` is success; anything else is a refusal with its code and name.
macro_rules! expect_ok {
    ($what:literal, $result:expr, $ok:path) => {
        match $result {
            $ok => Ok(()),
            refused => Err(CardError::Refused {
                what: $what,
                code: refused.code(),
                name: refused.name(),
            }),
        }
    };
}

impl<A: Apdu> Card<A> {
    /// ES10c.GetEID: 16 bytes.
    pub(crate) fn eid(&mut self) -> Result<[u8; 16], CardError> {
        let answer: GetEuiccDataResponse = self.call("GetEID", &GetEuiccDataRequest)?;
        Ok(answer.eid)
    }

    /// ES10b.GetEUICCInfo, EUICCInfo1 as it came: it goes to the server untouched.
    pub(crate) fn info1(&mut self) -> Result<Vec<u8>, CardError> {
        self.request("GetEUICCInfo1", &GetEuiccInfo1Request.to_vec())
    }

    /// ES10b.GetRAT.
    pub(crate) fn rules(&mut self) -> Result<GetRatResponse, CardError> {
        self.call("GetRAT", &GetRatRequest)
    }

    /// ES10b.GetEUICCChallenge.
    pub(crate) fn challenge(&mut self) -> Result<[u8; 16], CardError> {
        let answer: GetEuiccChallengeResponse =
            self.call("GetEUICCChallenge", &GetEuiccChallengeRequest)?;
        Ok(answer.challenge)
    }

    /// ES10b.AuthenticateServer; the response as it came.
    pub(crate) fn authenticate_server(
        &mut self,
        request: &AuthenticateServerRequest,
    ) -> Result<Vec<u8>, CardError> {
        self.request("AuthenticateServer", &request.to_vec())
    }

    /// ES10b.PrepareDownload; the response as it came.
    pub(crate) fn prepare_download(
        &mut self,
        request: &PrepareDownloadRequest,
    ) -> Result<Vec<u8>, CardError> {
        self.request("PrepareDownload", &request.to_vec())
    }

    /// ES10b.LoadBoundProfilePackage. Stops at the answer, which may come before the end, and returns it as it came.
    ///
    /// # Errors
    /// [`LpaError::NoResult`] when the card took everything and answered nothing.
    pub(crate) fn load(
        &mut self,
        bpp: &[u8],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<u8>, LpaError> {
        let pieces = es8::segments(bpp)?;
        self.open()?;
        let mut done = 0;
        for piece in pieces {
            let answer = self.piece(piece)?;
            done += piece.len();
            progress(done, bpp.len());
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
        Err(LpaError::NoResult)
    }

    /// ES10b.CancelSession; the response as it came.
    pub(crate) fn cancel_session(
        &mut self,
        transaction_id: TransactionId,
        reason: CancelSessionReason,
    ) -> Result<Vec<u8>, CardError> {
        let request = CancelSessionRequest {
            transaction_id,
            reason,
        };
        self.request("CancelSession", &request.to_vec())
    }

    /// ES10b.RemoveNotificationFromList; one that is gone already is no error.
    pub(crate) fn remove_notification(&mut self, seq_number: u64) -> Result<(), CardError> {
        let request = NotificationSentRequest { seq_number };
        let answer: NotificationSentResponse = self.call("RemoveNotificationFromList", &request)?;
        match answer.status {
            NotificationSentStatus::NothingToDelete => Ok(()),
            status => expect_ok!(
                "RemoveNotificationFromList",
                status,
                NotificationSentStatus::Ok
            ),
        }
    }

    /// ES10c.GetProfilesInfo, without icons.
    pub(crate) fn profiles(&mut self) -> Result<Vec<ProfileInfo>, CardError> {
        let list = self.profile_list()?;
        for unread in list.iter().flat_map(|p| &p.unread) {
            tracing::warn!(field = unread.field, reason = %unread.reason, "a field of a profile on the card cannot be read");
        }
        // What is enabled must not pass for disabled.
        if list
            .iter()
            .any(|p| Unread::names(&p.unread, &["profileState", "ProfileInfo"]))
        {
            return Err(CardError::Answer {
                what: "GetProfilesInfo",
                source: TlvError::Value {
                    tag: 0x9F70,
                    reason: "profileState cannot be read",
                },
            });
        }
        Ok(list.into_iter().map(|p| p.info).collect())
    }

    /// ES10a.SetDefaultDpAddress; empty removes it.
    pub(crate) fn set_default_smdp(&mut self, address: &str) -> Result<(), CardError> {
        const WHAT: &str = "SetDefaultDpAddress";
        let request = SetDefaultDpAddressRequest {
            address: address.to_owned(),
        };
        let answer: SetDefaultDpAddressResponse = self.call(WHAT, &request)?;
        expect_ok!(
            "SetDefaultDpAddress",
            answer.result,
            SetDefaultDpAddressResult::Ok
        )
    }

    /// ES10c.eUICCMemoryReset with options of [`reset_options`](aid_rsp::es10::reset_options); `false` when there was
    /// nothing to delete.
    pub(crate) fn memory_reset(&mut self, options: u32) -> Result<bool, CardError> {
        let request = EuiccMemoryResetRequest { options };
        let answer: EuiccMemoryResetResponse = self.call("eUICCMemoryReset", &request)?;
        match answer.result {
            ResetResult::NothingToDelete => Ok(false),
            result => expect_ok!("eUICCMemoryReset", result, ResetResult::Ok).map(|()| true),
        }
    }

    /// ES10c.EnableProfile.
    pub(crate) fn enable(&mut self, iccid: [u8; 10]) -> Result<(), CardError> {
        let request = EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: self.refresh,
        };
        let answer = self.call("EnableProfile", &request);
        let result = answer.and_then(|answer: EnableProfileResponse| {
            expect_ok!("EnableProfile", answer.result, EnableResult::Ok)
        });
        self.switched(iccid, ProfileState::Enabled, result)
    }

    /// ES10c.DisableProfile.
    pub(crate) fn disable(&mut self, iccid: [u8; 10]) -> Result<(), CardError> {
        let request = DisableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: self.refresh,
        };
        let answer = self.call("DisableProfile", &request);
        let result = answer.and_then(|answer: DisableProfileResponse| {
            expect_ok!("DisableProfile", answer.result, DisableResult::Ok)
        });
        self.switched(iccid, ProfileState::Disabled, result)
    }

    /// A switch with this goal had this result. A REFRESH may take the connection away before the answer
    /// is read; then the card's list says what became of it.
    fn switched(
        &mut self,
        iccid: [u8; 10],
        goal: ProfileState,
        result: Result<(), CardError>,
    ) -> Result<(), CardError> {
        match result {
            Ok(()) => {
                self.settle();
                Ok(())
            }
            Err(CardError::Transport(error @ TransportError::Broken { .. })) => {
                let list = self.profiles().unwrap_or_default();
                let done = |p: &ProfileInfo| p.iccid == Some(iccid) && p.state == Some(goal);
                match list.iter().any(done) {
                    true => Ok(()),
                    false => Err(error.into()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// ES10c.DeleteProfile.
    pub(crate) fn delete(&mut self, iccid: [u8; 10]) -> Result<(), CardError> {
        let request = DeleteProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
        };
        let answer: DeleteProfileResponse = self.call("DeleteProfile", &request)?;
        expect_ok!("DeleteProfile", answer.result, DeleteResult::Ok)
    }

    /// ES10c.SetNickname.
    pub(crate) fn set_nickname(&mut self, iccid: [u8; 10], name: &str) -> Result<(), CardError> {
        let request = SetNicknameRequest {
            iccid,
            nickname: name.to_owned(),
        };
        let answer: SetNicknameResponse = self.call("SetNickname", &request)?;
        expect_ok!("SetNickname", answer.result, SetNicknameResult::Ok)
    }
}
