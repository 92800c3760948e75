//! ES10a, ES10b and ES10c as typed calls. SGP.22 §5.7. Called by `lpa`.

use crate::card::Card;
use crate::error::{CardError, LpaError};
use aid_port::{Apdu, TransportError};
use aid_rsp::es8;
use aid_rsp::es10::{
    AuthenticateServerRequest, CancelSessionReason, CancelSessionRequest, DataObject as _,
    DeleteProfileRequest, DeleteProfileResponse, DeleteResult, DisableProfileRequest,
    DisableProfileResponse, DisableResult, EnableProfileRequest, EnableProfileResponse,
    EnableResult, EuiccConfiguredAddressesRequest, EuiccConfiguredAddressesResponse, EuiccInfo2,
    GetEuiccChallengeRequest, GetEuiccChallengeResponse, GetEuiccDataRequest, GetEuiccDataResponse,
    GetEuiccInfo1Request, GetEuiccInfo2Request, GetRatRequest, GetRatResponse,
    ListNotificationRequest, ListNotificationResponse, NotificationMetadata, NotificationSearch,
    NotificationSentRequest, NotificationSentResponse, NotificationSentStatus, PendingNotification,
    PrepareDownloadRequest, ProfileIdentifier, ProfileInfo, ProfileInfoListRequest,
    ProfileInfoListResponse, ProfileInstallationResult, ProfileState,
    RetrieveNotificationsListRequest, RetrieveNotificationsListResponse, SetNicknameRequest,
    SetNicknameResponse, SetNicknameResult, TransactionId,
};

/// Tags that the list of profiles is asked for: no icons, which cost dozens of APDUs.
const PROFILE_TAGS: [u8; 9] = [0x5A, 0x4F, 0x9F, 0x70, 0x90, 0x91, 0x92, 0x95, 0x99];

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

    /// ES10b.GetEUICCInfo, EUICCInfo2.
    pub(crate) fn info2(&mut self) -> Result<EuiccInfo2, CardError> {
        self.call("GetEUICCInfo2", &GetEuiccInfo2Request)
    }

    /// ES10a.GetEuiccConfiguredAddresses.
    pub(crate) fn addresses(&mut self) -> Result<EuiccConfiguredAddressesResponse, CardError> {
        self.call(
            "GetEuiccConfiguredAddresses",
            &EuiccConfiguredAddressesRequest,
        )
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

    /// ES10b.LoadBoundProfilePackage. Stops at the result, which may come before the end. Returns
    /// it as it came, too.
    pub(crate) fn load(
        &mut self,
        bpp: &[u8],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(ProfileInstallationResult, Vec<u8>), LpaError> {
        const WHAT: &str = "LoadBoundProfilePackage";
        let pieces = es8::segments(bpp)?;
        self.open()?;
        let mut done = 0;
        for piece in pieces {
            let answer = self.piece(piece)?;
            done += piece.len();
            progress(done, bpp.len());
            if !answer.is_empty() {
                let result = ProfileInstallationResult::from_slice(&answer);
                let result = result.map_err(|source| CardError::Answer { what: WHAT, source })?;
                return Ok((result, answer));
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

    /// ES10b.ListNotification, ascending.
    pub(crate) fn notifications(&mut self) -> Result<Vec<NotificationMetadata>, CardError> {
        const WHAT: &str = "ListNotification";
        match self.call(WHAT, &ListNotificationRequest::default())? {
            ListNotificationResponse::Ok(mut list) => {
                list.sort_by_key(|n| n.seq_number);
                Ok(list)
            }
            ListNotificationResponse::Error(code) => Err(undefined(WHAT, code)),
        }
    }

    /// ES10b.RetrieveNotificationsList of one number; none when it is gone.
    pub(crate) fn notification(
        &mut self,
        seq_number: u64,
    ) -> Result<Option<PendingNotification>, CardError> {
        const WHAT: &str = "RetrieveNotificationsList";
        let search = Some(NotificationSearch::SeqNumber(seq_number));
        match self.call(WHAT, &RetrieveNotificationsListRequest { search })? {
            RetrieveNotificationsListResponse::Ok(list) => Ok(list
                .into_iter()
                .find(|n| n.metadata().seq_number == seq_number)),
            // noResultAvailable
            RetrieveNotificationsListResponse::Error(1) => Ok(None),
            RetrieveNotificationsListResponse::Error(code) => Err(undefined(WHAT, code)),
        }
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
        const WHAT: &str = "GetProfilesInfo";
        let request = ProfileInfoListRequest {
            search: None,
            tag_list: Some(PROFILE_TAGS.to_vec()),
        };
        match self.call(WHAT, &request)? {
            ProfileInfoListResponse::Ok(list) => Ok(list),
            ProfileInfoListResponse::Error(error) => Err(CardError::Refused {
                what: WHAT,
                code: error.code(),
                name: error.name(),
            }),
        }
    }

    /// ES10c.EnableProfile with refreshFlag.
    pub(crate) fn enable(&mut self, iccid: [u8; 10]) -> Result<(), CardError> {
        let request = EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: true,
        };
        let answer = self.call("EnableProfile", &request);
        let result = answer.and_then(|answer: EnableProfileResponse| {
            expect_ok!("EnableProfile", answer.result, EnableResult::Ok)
        });
        self.switched(iccid, ProfileState::Enabled, result)
    }

    /// ES10c.DisableProfile with refreshFlag.
    pub(crate) fn disable(&mut self, iccid: [u8; 10]) -> Result<(), CardError> {
        let request = DisableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: true,
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

fn undefined(what: &'static str, code: u8) -> CardError {
    CardError::Refused {
        what,
        code,
        name: "undefinedError",
    }
}
